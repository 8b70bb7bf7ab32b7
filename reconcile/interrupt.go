package reconcile

import (
	"context"
	"errors"
	"fmt"
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

type permitKey struct{}

// WithPermit returns a context whose changes are sent only while permit, asked
// right before each of them, returns nil.
func WithPermit(ctx context.Context, permit func(context.Context) error) context.Context {
	return context.WithValue(ctx, permitKey{}, permit)
}

// Permit is asked by an engine right before it sends a change. The error is an
// ErrInterrupted: the change has not been carried out.
func Permit(ctx context.Context) error {
	permit, ok := ctx.Value(permitKey{}).(func(context.Context) error)
	if !ok {
		return nil
	}
	if err := permit(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	return nil
}

// Interrupted is closed when no further request should be sent; nil, which
// never is, where nobody said so.
func Interrupted(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(interruptKey{}).(<-chan struct{})
	return done
}
