package main

import (
	"net/http"
)

// pages are the lab's: the page over all of its hosts.
func (l *lab) pages() http.Handler { return http.NotFoundHandler() }
