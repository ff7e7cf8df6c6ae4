package texttab

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/format"
)

// page is a data page whose header says so.
func page(unpacked, packed, values int64, data []byte) []byte {
	number := func(to []byte, v int64) []byte {
		return binary.AppendUvarint(append(to, 0x15), uint64(v<<1)^uint64(v>>63))
	}
	out := number(number(number(nil, 0), unpacked), packed) // type and sizes
	out = number(append(out, 0x2c), values)                 // the header of the data page
	return append(append(out, 0, 0), data...)
}

func TestPagesThatPromiseMoreThanTheyHold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"a page", page(8, 4, 2, make([]byte, 4)), ""},
		{"two pages", append(page(8, 4, 2, make([]byte, 4)), page(400, 2, 2, make([]byte, 2))...), ""},
		{"a header of many bytes", append([]byte{0x15, 0, 0x15, 8, 0x15, 8, 0x2c, 0x15, 4, 0x48, 0x88, 0x27}, append(make([]byte, 5000), 0, 0, 0, 0, 0, 0)...), ""},
		{"a bomb", page(1<<31-1, 4, 2, make([]byte, 4)), "decompression bomb"},
		{"two hundredfold of what is large", page(freeBytes+1, 4, 2, make([]byte, 4)), "decompression bomb"},
		{"less than nothing", page(-8, 4, 2, make([]byte, 4)), "decompression bomb"},
		{"more than is left", page(8, 5, 2, make([]byte, 4)), "5 bytes, and 4 are left"},
		{"less than nothing of it", page(8, -1, 2, make([]byte, 4)), "and 4 are left"},
		{"many values", page(8, 4, 1<<31-1, make([]byte, 4)), "values: want at most"},
		{"no header", []byte{0x15, 0xff, 0xff}, "bad number"},
	} {
		// A column begins at byte 4.
		file := append([]byte("PAR1"), tt.data...)
		err := checkChunk(bytes.NewReader(file), int64(len(file)), &format.ColumnMetaData{DataPageOffset: 4, TotalCompressedSize: int64(len(tt.data))})
		if got := errText(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: error %q, want %q", tt.name, got, tt.want)
		}
	}
	file := []byte("PAR1")
	for _, m := range []format.ColumnMetaData{{DataPageOffset: 4, TotalCompressedSize: 1}, {DataPageOffset: -4, TotalCompressedSize: 4}, {DataPageOffset: 1 << 62, TotalCompressedSize: 1 << 62}, {TotalCompressedSize: -1}} {
		if err := checkChunk(bytes.NewReader(file), 4, &m); !strings.Contains(errText(err), "and the file has 4") {
			t.Errorf("%+v: error %v", m, err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
