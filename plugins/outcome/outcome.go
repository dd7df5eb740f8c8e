// Package outcome has the errors by which a plugin tells Telegraf's agent more than
// that something failed: start me again later, or, these metrics are written, those
// are not.
//
// Telegraf keeps its types for that in an internal package. Their names and fields are
// fixed by its errors.As calls, so the errors here fill them by reflection when asked
// to; they import nothing of Telegraf.
package outcome

import "reflect"

// telegrafInternal is the package of Telegraf's error types.
const telegrafInternal = "github.com/influxdata/telegraf/internal"

// fill makes *target a new value of Telegraf's type of that name and sets its
// fields; false when target is something else.
func fill(target any, name string, fields map[string]any) bool {
	pointer := reflect.ValueOf(target)
	if pointer.Kind() != reflect.Pointer || pointer.IsNil() || pointer.Elem().Kind() != reflect.Pointer {
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

// Startup is a failed start that may succeed later: with startup_error_behavior =
// "retry" Telegraf tries again.
type Startup struct{ Err error }

// Error implements error.
func (e *Startup) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Startup) Unwrap() error { return e.Err }

// As fills Telegraf's StartupError.
func (e *Startup) As(target any) bool {
	return fill(target, "StartupError", map[string]any{"Err": e.Err, "Retry": true})
}

// Partial says that the first metrics of a batch had their effect and the others must
// come again.
type Partial struct {
	Err      error
	Accepted int // metrics
}

// Error implements error.
func (e *Partial) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Partial) Unwrap() error { return e.Err }

// As fills Telegraf's PartialWriteError.
func (e *Partial) As(target any) bool {
	accepted := make([]int, e.Accepted)
	for i := range accepted {
		accepted[i] = i
	}
	return fill(target, "PartialWriteError", map[string]any{"Err": e.Err, "MetricsAccept": accepted})
}
