package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // of a tile: 256 hashes

// reading is what a log turned out to hold.
type reading struct {
	Origin  string   `json:"origin"`
	Size    int64    `json:"size"`
	Root    string   `json:"root"`
	Entries []string `json:"entries"`
	Proven  int      `json:"proven"`
	Old     *int64   `json:"old"`
}

// read proves every entry, and that the tree continues the one of an older checkpoint.
func read(args []string) error {
	if err := arguments(args, 2, 3); err != nil {
		return err
	}
	tiles := &server{args[0]}
	signed, err := tiles.get("checkpoint")
	if err != nil {
		return err
	}
	origin, tree, err := open(signed, args[1])
	if err != nil {
		return err
	}
	found := reading{Origin: origin, Size: tree.N, Root: hex.EncodeToString(tree.Hash[:])}
	hashes := tlog.TileHashReader(tree, tiles)
	if err := found.prove(tiles, tree, hashes); err != nil {
		return err
	}
	if len(args) == 3 {
		if err := found.follow(args[2], args[1], tree, hashes); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

// open is a checkpoint's tree, if the key signed it.
func open(signed []byte, vkey string) (string, tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return "", tlog.Tree{}, err
	}
	// tlog.ParseTree reads sumdb's own first line; the rest is the same.
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	if err == nil && origin != verifier.Name() {
		err = fmt.Errorf("a checkpoint of %q", origin)
	}
	return origin, tree, err
}

// prove checks the inclusion of every entry.
func (r *reading) prove(tiles *server, tree tlog.Tree, hashes tlog.HashReader) error {
	for start := int64(0); start < tree.N; start += 1 << height {
		width := int(min(tree.N-start, 1<<height))
		tile := tlog.Tile{H: height, L: -1, N: start >> height, W: width}
		entries, err := tiles.entries(tile)
		if err != nil {
			return err
		}
		for at, entry := range entries {
			index := start + int64(at)
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			r.Entries = append(r.Entries, hex.EncodeToString(entry))
			r.Proven++
		}
	}
	return nil
}

// follow checks that the tree continues the one of the older checkpoint in a file.
func (r *reading) follow(path, vkey string, tree tlog.Tree, hashes tlog.HashReader) error {
	signed, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, old, err := open(signed, vkey)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return err
	}
	r.Old = &old.N
	return tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
}

// server is a log over HTTP, as a tlog.TileReader.
type server struct{ url string }

func (s *server) Height() int { return height }

func (s *server) SaveTiles([]tlog.Tile, [][]byte) {}

func (s *server) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		found, err := s.get(path(tile))
		if err != nil {
			return nil, err
		}
		data[i] = found
	}
	return data, nil
}

// entries of a bundle: each a length in two bytes, then so many bytes.
func (s *server) entries(tile tlog.Tile) ([][]byte, error) {
	data, err := s.get(path(tile))
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for len(data) >= 2 {
		length := int(binary.BigEndian.Uint16(data))
		if data = data[2:]; length > len(data) {
			break
		}
		found, data = append(found, data[:length]), data[length:]
	}
	if len(data) != 0 || len(found) != tile.W {
		return nil, fmt.Errorf("%s holds %d entries and %d bytes", path(tile), len(found), len(data))
	}
	return found, nil
}

func (s *server) get(path string) ([]byte, error) {
	answer, err := http.Get(s.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// path by tlog-tiles, which leaves out the height and calls data entries.
func path(tile tlog.Tile) string {
	spelled := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return strings.Replace(spelled, "tile/data/", "tile/entries/", 1)
}
