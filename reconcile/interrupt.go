package reconcile

import (
	"context"
	"errors"
)

// ErrInterrupted is the error of a change that an interruption kept from being
// sent: it has not been carried out.
var ErrInterrupted = errors.New("interrupted before it was sent")

type interruptKey struct{}

// WithInterrupt returns a context that lives on when interrupt ends, so that
// a request under way can finish; what has not been sent by then need not be.
func WithInterrupt(ctx, interrupt context.Context) context.Context {
	return context.WithValue(ctx, interruptKey{}, interrupt.Done())
}

// Interrupted is closed when no further request should be sent; nil, which
// never is, where nobody said so.
func Interrupted(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(interruptKey{}).(<-chan struct{})
	return done
}
