package query

import (
	"context"
	"errors"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Info returns the ident of the first file and the sums of all files' statistics: what
// nfdump's -I prints. The flows of a file that keeps no statistics, as one that is being
// written, are read and counted. The error joins what was wrong with the files.
func Info(ctx context.Context, files []string) (ident string, sum nffile.Stat, err error) {
	var problems []error
	for _, path := range files {
		name, stat, err := FileStat(ctx, path)
		if err != nil && len(problems) < maxProblems {
			problems = append(problems, err)
		}
		if ident == "" {
			ident = name
		}
		sum.Add(stat)
	}
	return ident, sum, errors.Join(problems...)
}

// FileStat returns the ident and the statistics of one file: those that it keeps, or its records
// counted where it keeps none, or still writes. The error tells what of it cannot be read.
func FileStat(ctx context.Context, path string) (ident string, stat nffile.Stat, err error) {
	f, err := nffile.OpenFile(path)
	if err != nil {
		return "", stat, err
	}
	defer f.Close()
	if f.HasStat() && !f.Open() {
		return f.Ident(), f.Stat(), errors.Join(f.Damage()...)
	}
	stat, _, err = Input{Files: []string{path}}.Stat(ctx)
	return f.Ident(), stat, err
}
