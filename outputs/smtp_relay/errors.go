package smtp_relay

import "reflect"

// Telegraf keeps the types by which a plugin says "start me again later" and "these
// metrics are written, those are not" in an internal package. Their names and
// fields are fixed by its errors.As calls, so the errors here fill them by
// reflection when asked to.

// telegrafInternal is the package of Telegraf's error types.
const telegrafInternal = "github.com/influxdata/telegraf/internal"

// fill makes *target a new value of Telegraf's type of that name and sets its
// fields; false when target is something else.
func fill(target any, name string, fields map[string]any) bool {
	pointer := reflect.ValueOf(target)
	if pointer.Kind() != reflect.Pointer || pointer.Elem().Kind() != reflect.Pointer {
		return false
	}
	kind := pointer.Elem().Type().Elem()
	if kind.Name() != name || kind.PkgPath() != telegrafInternal || kind.Kind() != reflect.Struct {
		return false
	}
	value := reflect.New(kind)
	for field, content := range fields {
		f := value.Elem().FieldByName(field)
		if !f.IsValid() || !reflect.TypeOf(content).AssignableTo(f.Type()) {
			return false
		}
		f.Set(reflect.ValueOf(content))
	}
	pointer.Elem().Set(value)
	return true
}

// retryError is a failed start that may succeed later: with
// startup_error_behavior = "retry" Telegraf tries again.
type retryError struct{ err error }

// Error implements error.
func (e *retryError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *retryError) Unwrap() error { return e.err }

// As fills Telegraf's StartupError.
func (e *retryError) As(target any) bool {
	return fill(target, "StartupError", map[string]any{"Err": e.err, "Retry": true})
}

// partialError says that the first metrics of a batch had their effect and the
// others must come again.
type partialError struct {
	err      error
	accepted int
}

// Error implements error.
func (e *partialError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *partialError) Unwrap() error { return e.err }

// As fills Telegraf's PartialWriteError.
func (e *partialError) As(target any) bool {
	accepted := make([]int, e.accepted)
	for i := range accepted {
		accepted[i] = i
	}
	return fill(target, "PartialWriteError", map[string]any{"Err": e.err, "MetricsAccept": accepted})
}
