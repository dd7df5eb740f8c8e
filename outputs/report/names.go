package report

import "github.com/flowgraf/flowgraf/outputs/nffile"

// names finds the names of a file. It takes them in as the file gives them out.
type names struct {
	file    int // whose names they are
	taken   int // of its list
	numbers map[numbered]string
	apps    map[string]string
}

// numbered is what a name is for.
type numbered struct {
	kind nffile.NameKind
	id   uint32
}

// takeNames keeps what is new in the list of a flow's file.
func (n *names) takeNames(f row) {
	if n.numbers == nil || n.file != f.File {
		*n = names{file: f.File, numbers: map[numbered]string{}, apps: map[string]string{}}
	}
	for ; n.taken < len(f.Names); n.taken++ {
		switch v := &f.Names[n.taken]; v.Kind {
		case nffile.AppName:
			n.apps[v.App] = v.Name
		default:
			n.numbers[numbered{v.Kind, v.ID}] = v.Name
		}
	}
}

// of returns the name of a number, "" when there is none.
func (n *names) of(f row, kind nffile.NameKind, id uint32) string {
	n.takeNames(f)
	return n.numbers[numbered{kind, id}]
}

// app returns the name of the application of a flow, "" when there is none.
func (n *names) app(f row) string {
	n.takeNames(f)
	return n.apps[string(f.AppID)]
}
