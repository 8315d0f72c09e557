package main

import (
	"context"
	"net/url"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// check has Tessera rebuild the tree from the entries, and compare every tile and the root.
func check(args []string) error {
	if err := arguments(args, 2, 2); err != nil {
		return err
	}
	// Its client reads below the URL's path only if that ends in a slash.
	place, err := url.Parse(args[0] + "/")
	if err != nil {
		return err
	}
	fetcher, err := client.NewHTTPFetcher(place, nil)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(args[1])
	if err != nil {
		return err
	}
	return fsck.New(verifier.Name(), verifier, fetcher, leaves, fsck.Opts{N: 2}).Check(context.Background())
}

func leaves(bundle []byte) ([][]byte, error) {
	var entries api.EntryBundle
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(entries.Entries))
	for _, entry := range entries.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}
