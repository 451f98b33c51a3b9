package known

import (
	"embed"
	"io"
	"io/fs"
	"sync"
)

// builtInParts are the parts of the built-in list, in order: no file of the repository is larger than 1 MiB. The operating system reads the pages
// of the executable that a search needs; nothing is copied to the heap.
//
//go:embed builtin/*.part
var builtInParts embed.FS

// BuiltIn returns the built-in list. builtin/README.md has its sources and licences.
//
//nolint:gochecknoglobals // opened once
var BuiltIn = sync.OnceValue(func() *List {
	list, err := openBuiltIn()
	if err != nil {
		panic("built-in list of known passwords: " + err.Error()) // impossible: a test opens it
	}
	return list
})

func openBuiltIn() (*List, error) {
	content, err := joinParts(builtInParts, "builtin/*.part")
	if err != nil {
		return nil, err
	}
	return newList(content, content.size)
}

// parts is a file that is divided into parts.
type parts struct {
	parts []part
	size  int64
}

type part struct {
	file  io.ReaderAt
	start int64 // of the part in the whole file
	size  int64
}

// joinParts returns the file whose parts match a pattern.
func joinParts(files fs.FS, pattern string) (parts, error) {
	var joined parts
	names, err := fs.Glob(files, pattern) // sorted
	if err != nil {
		return parts{}, err
	}
	for _, name := range names {
		file, err := files.Open(name)
		if err != nil {
			return parts{}, err
		}
		info, err := file.Stat()
		if err != nil {
			return parts{}, err
		}
		joined.parts = append(joined.parts, part{file.(io.ReaderAt), joined.size, info.Size()}) //nolint:forcetypeassert // embedded files are
		joined.size += info.Size()
	}
	return joined, nil
}

// ReadAt reads from the parts that have the range.
func (p parts) ReadAt(b []byte, offset int64) (n int, err error) {
	for _, part := range p.parts {
		if at := offset - part.start; at < part.size && n < len(b) {
			read, err := part.file.ReadAt(b[n:min(len(b), n+int(part.size-at))], at)
			n, offset = n+read, offset+int64(read)
			if err != nil {
				return n, err
			}
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
