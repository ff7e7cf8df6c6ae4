package texttab

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// maxPage bounds a page of a column.
	maxPage = 1 << 30
	// maxPageHeader bounds what stands before a page: statistics hold values.
	maxPageHeader = 1 << 20
)

// checkPages reads the headers of all pages and refuses those that promise more
// than they can hold: the Parquet library would allocate what they promise.
func checkPages(f io.ReaderAt, file *parquet.File) error {
	for g, group := range file.Metadata().RowGroups {
		for c := range group.Columns {
			if err := checkChunk(f, file.Size(), &group.Columns[c].MetaData); err != nil {
				return fmt.Errorf("damaged Parquet file: column %d of row group %d: %w", c+1, g+1, err)
			}
		}
	}
	return nil
}

func checkChunk(f io.ReaderAt, size int64, m *format.ColumnMetaData) error {
	at := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < at {
		at = d
	}
	if m.TotalCompressedSize < 0 || at < 0 || at > size || m.TotalCompressedSize > size-at {
		return fmt.Errorf("%d bytes from byte %d, and the file has %d", m.TotalCompressedSize, at, size)
	}
	for end := at + m.TotalCompressedSize; at < end; {
		page, err := readPageHeader(f, at, end-at)
		if err != nil {
			return fmt.Errorf("page at byte %d: %w", at, err)
		}
		left := end - at - page.header
		switch {
		case page.packed < 0 || page.packed > left:
			return fmt.Errorf("page at byte %d of %d bytes, and %d are left", at, page.packed, left)
		case page.unpacked < 0 || page.unpacked > maxPage || page.unpacked > max(freeBytes, maxRatio*page.packed):
			return fmt.Errorf("page at byte %d that grows from %d bytes to %d, which looks like a decompression bomb", at, page.packed, page.unpacked)
		case page.values < 0 || page.values > maxCells:
			return fmt.Errorf("page at byte %d of %d values: want at most %d", at, page.values, maxCells)
		}
		at += page.header + page.packed
	}
	return nil
}

// pageHeader is what is said of a page, in bytes and values.
type pageHeader struct{ header, packed, unpacked, values int64 }

func readPageHeader(f io.ReaderAt, at, left int64) (pageHeader, error) {
	for size := int64(1 << 10); ; size *= 32 {
		size = min(size, left, maxPageHeader)
		w := walker{data: make([]byte, size)}
		if _, err := f.ReadAt(w.data, at); err != nil {
			return pageHeader{}, err
		}
		page := w.pageHeader()
		if w.err == nil || size == left || size == maxPageHeader {
			page.header = int64(w.at)
			return page, w.err
		}
	}
}

// pageHeader reads Parquet's PageHeader; the headers of the kinds of pages begin
// with the number of values.
func (w *walker) pageHeader() (page pageHeader) {
	const unpackedSize, packedSize, dataPage, dictionary, dataPageV2 = 2, 3, 5, 7, 8
	w.fields(0, func(id int64, kind byte) bool {
		switch {
		case id == unpackedSize && kind == thriftI32:
			page.unpacked = w.number()
		case id == packedSize && kind == thriftI32:
			page.packed = w.number()
		case (id == dataPage || id == dictionary || id == dataPageV2) && kind == thriftStruct:
			w.fields(1, func(id int64, kind byte) bool {
				if id != 1 || kind != thriftI32 {
					return false
				}
				page.values = w.number()
				return true
			})
		default:
			return false
		}
		return true
	})
	return page
}
