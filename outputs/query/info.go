package query

import (
	"errors"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Info returns the ident of the first file and the sums of all files' statistics:
// what nfdump's -I prints. Flows are not read; a file that is being written has no
// statistics yet and adds nothing. The error joins what was wrong with the files.
func Info(files []string) (ident string, sum nffile.Stat, err error) {
	var problems []error
	for _, path := range files {
		f, err := nffile.OpenFile(path)
		if err != nil {
			if len(problems) < maxProblems {
				problems = append(problems, err)
			}
			continue
		}
		for _, damage := range f.Damage() {
			if len(problems) < maxProblems {
				problems = append(problems, damage)
			}
		}
		if ident == "" {
			ident = f.Ident()
		}
		sum.Add(f.Stat())
		f.Close()
	}
	return ident, sum, errors.Join(problems...)
}
