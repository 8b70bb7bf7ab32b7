package schema

// Hook is a program that a member of a Virtual Router runs when its state has
// changed.
type Hook struct {
	Command []string `json:"command"`
	User    string   `json:"user"`
	Timeout Duration `json:"timeout"`
	// On lists states; empty means all.
	On []string `json:"on,omitempty" diff:"set"`
}
