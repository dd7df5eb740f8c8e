package nfdump

import (
	"errors"
	"os"
	"reflect"
	"syscall"

	"github.com/flowgraf/flowgraf/outputs/archive"
)

// advice says what to do about an error of writing, "" when there is nothing to say.
func advice(err error) string {
	switch {
	case archive.Full(err):
		return " (make room, or let max_size or min_free do so)"
	case errors.Is(err, syscall.EROFS):
		return " (mount the file system writable)"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return " (allow more open files: LimitNOFILE of the service, ulimit -n)"
	case errors.Is(err, os.ErrPermission):
		return " (let the user that runs this write in the directory)"
	}
	return ""
}

// startupError is a failed start that may succeed later: with
// startup_error_behavior = "retry" Telegraf connects again. Telegraf's own type for
// it is in an internal package, so it is filled by reflection when errors.As asks
// for it.
type startupError struct{ err error }

// Error implements error.
func (e *startupError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *startupError) Unwrap() error { return e.err }

// As fills Telegraf's StartupError.
func (e *startupError) As(target any) bool {
	pointer := reflect.ValueOf(target)
	if pointer.Kind() != reflect.Pointer || pointer.Elem().Kind() != reflect.Pointer {
		return false
	}
	kind := pointer.Elem().Type().Elem()
	if kind.Name() != "StartupError" || kind.PkgPath() != "github.com/influxdata/telegraf/internal" || kind.Kind() != reflect.Struct {
		return false
	}
	value := reflect.New(kind)
	cause, retry := value.Elem().FieldByName("Err"), value.Elem().FieldByName("Retry")
	if !cause.IsValid() || !retry.IsValid() || retry.Kind() != reflect.Bool {
		return false
	}
	cause.Set(reflect.ValueOf(e.err))
	retry.SetBool(true)
	pointer.Elem().Set(value)
	return true
}
