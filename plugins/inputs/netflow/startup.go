package netflow

import "reflect"

// startupError is an error of Start after which another try may succeed, so that
// startup_error_behavior works. Telegraf's type for that lies in a package that
// cannot be imported from here: As recognises it by its name and fills it in.
type startupError struct{ err error }

func (e *startupError) Error() string { return e.err.Error() }
func (e *startupError) Unwrap() error { return e.err }

// As fills in a **internal.StartupError of Telegraf.
func (e *startupError) As(target any) bool {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Pointer {
		return false
	}
	t := v.Elem().Type().Elem()
	if t.Name() != "StartupError" || t.PkgPath() != "github.com/influxdata/telegraf/internal" {
		return false
	}
	s := reflect.New(t)
	cause, retry := s.Elem().FieldByName("Err"), s.Elem().FieldByName("Retry")
	if cause.Kind() != reflect.Interface || retry.Kind() != reflect.Bool {
		return false
	}
	cause.Set(reflect.ValueOf(e.err))
	retry.SetBool(true)
	v.Elem().Set(s)
	return true
}
