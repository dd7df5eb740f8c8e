package archive

import (
	"errors"
	"time"
)

// Holding is what archives hold: complete files, with the index of each.
type Holding struct {
	Files       int
	Bytes       int64     // on the disk
	First, Last time.Time // slots of the oldest and of the newest file; zero without files
}

// Held returns what archives hold of the files that Expire would look at. What cannot be
// read is in the error.
func Held(dirs []string, loc *time.Location) (Holding, error) {
	var h Holding
	var errs []error
	for _, dir := range dirs {
		files, err := storedIn(dir, loc)
		errs = append(errs, err)
		for _, f := range files {
			h.Files++
			h.Bytes += f.size
			if h.First.IsZero() || f.slot.Before(h.First) {
				h.First = f.slot
			}
			if f.slot.After(h.Last) {
				h.Last = f.slot
			}
		}
	}
	return h, errors.Join(errs...)
}
