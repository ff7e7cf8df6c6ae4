package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/medprobe/medprobe/internal/texttab"
	"github.com/parquet-go/parquet-go"
	"go.yaml.in/yaml/v4"
)

// readHF reads what Hugging Face's datasets library writes as Parquet: a file,
// the files of a folder, or a range of them. The images are within: a struct of
// bytes and path. Numbers of classes get their names from the file's metadata,
// or from the dataset card, README.md. A file's name that begins with train,
// validation or test is the part.
func readHF(ctx context.Context, d *Dataset, s Spec) error {
	names, err := shards(s.Path, ".parquet")
	if err != nil {
		return fmt.Errorf("datasets: hf %s: %w", s.Path, err)
	}
	store := &parquetImages{shown: s.shown()}
	d.files = store
	for _, name := range names {
		shard, err := openShard(name, s.Image)
		if err != nil {
			return fmt.Errorf("datasets: hf %s: %w", name, err)
		}
		store.shards = append(store.shards, shard)
	}
	t := store.table(s.Path, features(store.shards[0], names[0]))
	for _, shard := range store.shards[1:] {
		if !slices.Equal(shard.header(), store.shards[0].header()) {
			return fmt.Errorf("datasets: hf %s: columns %s, and %s has %s: want the same", shard.path, strings.Join(shard.header(), ", "), names[0], strings.Join(store.shards[0].header(), ", "))
		}
	}
	own := s
	own.Image = imageKey
	cols, err := t.columns(ctx, d, own)
	if err != nil {
		return fmt.Errorf("datasets: hf %s: %w", s.Path, err)
	}
	reader := &rowReader{table: t, columns: cols, spec: own}
	reader.locate = func(name string) (string, error) { return name, nil }
	reader.adjust = func(_ row, sample *Sample) error { return store.place(sample, cols.id < 0) }
	if err := reader.addTo(ctx, d); err != nil {
		return err
	}
	return reader.classes(d)
}

// imageKey is the column of our own that says where an image lies.
const imageKey = "medprobe image"

// shard is one Parquet file with images.
type shard struct {
	path string
	f    *os.File
	file *parquet.File
	// bytes is the leaf column of the images; columns are the other leaves by
	// the name of their outermost field.
	bytes   int
	columns []leaf
	split   string

	mu    sync.Mutex
	pages parquet.Pages
	group int
	// next is the row of the group that the next page begins with; held are the
	// images of the last pages.
	next int64
	held []heldPage
}

type leaf struct {
	name   string
	column int
}

type heldPage struct {
	group  int
	first  int64
	images [][]byte
}

func openShard(name, image string) (*shard, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	s := &shard{path: name, f: f, bytes: -1}
	err = guarded(func() error {
		s.file, err = texttab.OpenParquet(f)
		return err
	})
	if err == nil {
		err = s.findImage(image)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s.split = partNamed(filepath.Base(name))
	return s, nil
}

// guarded turns a panic of the Parquet library, which is how it answers some
// damaged files, into an error.
func guarded(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged Parquet file: %v", p)
		}
	}()
	return work()
}

// findImage looks for the struct of bytes and path.
func (s *shard) findImage(asked string) error {
	var images []string
	for k, path := range s.file.Schema().Columns() {
		switch {
		case len(path) == 2 && path[1] == "bytes" && (asked == "" || asked == path[0]):
			s.bytes = k
			images = append(images, path[0])
		case len(path) == 2 && path[1] == "path" && slices.Contains(images, path[0]), len(path) == 2 && path[1] == "path" && asked == path[0]:
			s.columns = append(s.columns, leaf{"image path", k})
		case !slices.ContainsFunc(s.columns, func(l leaf) bool { return l.name == path[0] }) && (len(path) == 1 || path[len(path)-1] == "element" || path[len(path)-1] == "item"):
			s.columns = append(s.columns, leaf{path[0], k})
		}
	}
	if len(images) != 1 {
		return fmt.Errorf("%d columns are structs of bytes and path (%s): name the one of the images under image", len(images), strings.Join(images, ", "))
	}
	return nil
}

func (s *shard) header() []string {
	names := make([]string, len(s.columns))
	for i, c := range s.columns {
		names[i] = c.name
	}
	return names
}

// features returns the class names of the columns that hold their numbers: from
// the file's metadata or else the dataset card beside it or above.
func features(s *shard, name string) map[string][]string {
	type feature struct {
		Names   []string `json:"names"`
		Feature *struct {
			Names []string `json:"names"`
		} `json:"feature"`
	}
	var said struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	all := map[string][]string{}
	if text, ok := s.file.Lookup("huggingface"); ok && json.Unmarshal([]byte(text), &said) == nil {
		for column, raw := range said.Info.Features {
			var f feature
			if json.Unmarshal(raw, &f) != nil {
				continue
			}
			if all[column] = f.Names; f.Feature != nil && len(f.Names) == 0 {
				all[column] = f.Feature.Names
			}
		}
		return all
	}
	for dir, up := filepath.Dir(name), 0; up < 3; dir, up = filepath.Dir(dir), up+1 {
		if card, err := os.ReadFile(filepath.Join(dir, "README.md")); err == nil {
			return cardNames(card)
		}
	}
	return all
}

// cardNames reads class names from the front matter of a dataset card, where
// they stand by their numbers.
func cardNames(card []byte) map[string][]string {
	all := map[string][]string{}
	_, rest, ok := strings.Cut(string(card[:min(len(card), 1<<20)]), "---\n")
	matter, _, ended := strings.Cut(rest, "\n---")
	if !ok || !ended {
		return all
	}
	type info struct {
		Features []struct {
			Name  string `yaml:"name"`
			DType any    `yaml:"dtype"`
		} `yaml:"features"`
	}
	var one struct {
		Info info `yaml:"dataset_info"`
	}
	var several struct {
		Info []info `yaml:"dataset_info"`
	}
	infos := []info{}
	if yaml.Load([]byte(matter), &one) == nil {
		infos = append(infos, one.Info)
	} else if yaml.Load([]byte(matter), &several) == nil {
		infos = several.Info
	}
	for _, i := range infos {
		for _, f := range i.Features {
			dtype, _ := f.DType.(map[string]any)
			label, _ := dtype["class_label"].(map[string]any)
			byNumber, _ := label["names"].(map[string]any)
			names := make([]string, len(byNumber))
			for k := range names {
				names[k], _ = byNumber[strconv.Itoa(k)].(string)
			}
			if len(names) > 0 {
				all[f.Name] = names
			}
		}
	}
	return all
}

// parquetImages gives access to the images within Parquet files.
type parquetImages struct {
	shards []*shard
	shown  ImageOptions
}

// table shows all shards as one table; its first columns are of our own.
func (p *parquetImages) table(name string, names map[string][]string) *table {
	t := &table{path: name, header: append([]string{imageKey, "medprobe split"}, p.shards[0].header()...)}
	if !slices.Contains(t.header, "split") {
		t.header[1] = "split"
	}
	t.source = func(ctx context.Context) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			line := 0
			for k, s := range p.shards {
				for n, cells := range s.rows(ctx, names, yield) {
					line++
					fields := append([]string{fmt.Sprintf("%d:%d", k, n), s.split}, cells...)
					if !yield(row{line, fields}, nil) {
						return
					}
				}
			}
		}
	}
	return t
}

// rows reads every column but the images. Errors go to fail.
func (s *shard) rows(ctx context.Context, names map[string][]string, fail func(row, error) bool) iter.Seq2[int64, []string] {
	return func(yield func(int64, []string) bool) {
		n := int64(0)
		for _, group := range s.file.RowGroups() {
			if err := ctx.Err(); err != nil {
				fail(row{}, err)
				return
			}
			columns := make([][]string, len(s.columns))
			err := guarded(func() (err error) {
				for k, c := range s.columns {
					if columns[k], err = readCells(group.ColumnChunks()[c.column], group.NumRows(), names[c.name]); err != nil {
						return fmt.Errorf("column %s: %w", c.name, err)
					}
				}
				return nil
			})
			if err != nil {
				fail(row{}, fmt.Errorf("%s: %w", s.path, err))
				return
			}
			for r := range group.NumRows() {
				cells := make([]string, len(columns))
				for k := range columns {
					cells[k] = columns[k][r]
				}
				if !yield(n, cells) {
					return
				}
				n++
			}
		}
	}
}

// readCells reads a leaf column of a row group as cells, one a row; the values
// of a list are joined by "|".
func readCells(chunk parquet.ColumnChunk, rows int64, names []string) ([]string, error) {
	if rows > 1<<26 {
		return nil, fmt.Errorf("%d rows in a group: want at most %d", rows, 1<<26)
	}
	cells := make([]string, 0, rows)
	pages := chunk.Pages()
	defer pages.Close()
	buffer := make([]parquet.Value, 256)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		values := page.Values()
		for {
			n, err := values.ReadValues(buffer)
			for _, v := range buffer[:n] {
				cell, err := className(v, names)
				if err != nil {
					return nil, err
				}
				switch {
				case v.RepetitionLevel() == 0:
					cells = append(cells, cell)
				case len(cells) > 0:
					cells[len(cells)-1] += "|" + cell
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			if n == 0 {
				return nil, io.ErrNoProgress
			}
		}
		parquet.Release(page)
	}
	if int64(len(cells)) != rows {
		return nil, fmt.Errorf("%d values for %d rows", len(cells), rows)
	}
	return cells, nil
}

func className(v parquet.Value, names []string) (string, error) {
	cell, err := texttab.Cell(v)
	if err != nil || names == nil || cell == "" {
		return cell, err
	}
	n, err := strconv.Atoi(cell)
	if err != nil || n < -1 || n >= len(names) {
		return "", fmt.Errorf("class number %s: want 0 to %d, or -1 for none", cell, len(names)-1)
	}
	if n == -1 {
		return "", nil
	}
	return names[n], nil
}

// place turns the image key of a sample into its source and, where no column
// holds ids, its id.
func (p *parquetImages) place(sample *Sample, newID bool) error {
	number, at, _ := strings.Cut(sample.Source.Path, ":")
	k, err := strconv.Atoi(number)
	if err != nil || k < 0 || k >= len(p.shards) {
		return fmt.Errorf("%q is no place of an image", sample.Source.Path)
	}
	n, err := strconv.Atoi(at)
	if err != nil {
		return err
	}
	sample.Source.Path, sample.Source.Member, sample.Source.Row = path.Base(filepath.ToSlash(p.shards[k].path)), number, n
	if newID {
		sample.ID = fmt.Sprintf("%s#%09d", sample.Source.Path, n)
	}
	return nil
}

func (p *parquetImages) read(s Source) (Content, error) {
	k, err := strconv.Atoi(s.Member)
	if err != nil || k < 0 || k >= len(p.shards) {
		return Content{}, fmt.Errorf("%q is no file of the dataset", s.Member)
	}
	var data []byte
	err = guarded(func() error {
		data, err = p.shards[k].image(int64(s.Row))
		return err
	})
	if err != nil {
		return Content{}, fmt.Errorf("read %s, row %d: %w", s.Path, s.Row+1, err)
	}
	if len(data) == 0 {
		return Content{}, fmt.Errorf("read %s, row %d: no image bytes; a table that only names files wants the format parquet", s.Path, s.Row+1)
	}
	return Content{data: data, shown: p.shown.frame(s.Frame)}, nil
}

// image returns the bytes of the image in a row. Rows are mostly asked for in
// order, by a few workers at once, so the last pages are kept.
func (s *shard) image(n int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	group := 0
	for _, g := range s.file.RowGroups() {
		if n < g.NumRows() {
			break
		}
		n -= g.NumRows()
		group++
	}
	if n < 0 || group >= len(s.file.RowGroups()) {
		return nil, errors.New("no such row")
	}
	for {
		for _, page := range s.held {
			if page.group == group && n >= page.first && n < page.first+int64(len(page.images)) {
				return page.images[n-page.first], nil
			}
		}
		if s.pages == nil || s.group != group || n < s.next {
			if s.pages != nil {
				s.pages.Close()
			}
			s.pages, s.group, s.next = s.file.RowGroups()[group].ColumnChunks()[s.bytes].Pages(), group, 0
		}
		if err := s.readPage(); err != nil {
			return nil, err
		}
	}
}

// readPage holds the next page and forgets the one before the last.
func (s *shard) readPage() error {
	page, err := s.pages.ReadPage()
	if errors.Is(err, io.EOF) {
		return errors.New("the column of images ends early")
	} else if err != nil {
		return err
	}
	defer parquet.Release(page)
	if page.Size() > maxFileBytes {
		return fmt.Errorf("a page of %d bytes: want at most %d", page.Size(), maxFileBytes)
	}
	held := heldPage{group: s.group, first: s.next, images: make([][]byte, 0, page.NumRows())}
	values, buffer := page.Values(), make([]parquet.Value, 16)
	for int64(len(held.images)) < page.NumRows() {
		n, err := values.ReadValues(buffer)
		for _, v := range buffer[:n] {
			held.images = append(held.images, slices.Clone(v.ByteArray()))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			break
		}
	}
	if len(held.images) == 0 {
		return errors.New("a page without images")
	}
	s.next += int64(len(held.images))
	s.held = append(s.held[max(0, len(s.held)-1):], held)
	return nil
}

func (p *parquetImages) Close() error {
	var errs []error
	for _, s := range p.shards {
		if s.pages != nil {
			errs = append(errs, s.pages.Close())
		}
		errs = append(errs, s.f.Close())
	}
	return errors.Join(errs...)
}
