package query

import (
	"context"
	"errors"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Info returns the ident of the first file and the sums of all files' statistics: what
// nfdump's -I prints. The flows of a file that keeps no statistics, as one that is being
// written, are read and counted. The error joins what was wrong with the files.
func Info(ctx context.Context, files []string) (ident string, sum nffile.Stat, err error) {
	var problems []error
	for _, path := range files {
		name, stat, err := infoOf(ctx, path)
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

// infoOf returns the ident and the statistics of one file.
func infoOf(ctx context.Context, path string) (ident string, stat nffile.Stat, err error) {
	f, err := nffile.OpenFile(path)
	if err != nil {
		return "", stat, err
	}
	defer f.Close()
	if f.HasStat() && !f.Open() {
		return f.Ident(), f.Stat(), errors.Join(f.Damage()...)
	}
	_, err = Each(ctx, []string{path}, func(r *flow.Record) error {
		stat.AddRecord(r)
		return nil
	})
	return f.Ident(), stat, err
}
