package main

import (
	"os"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// prove has torchwood judge a tlog-proof by a policy that names the log, and witnesses if it likes.
func prove(args []string) error {
	if err := arguments(args, 3, 3); err != nil {
		return err
	}
	var files [3][]byte
	for i, path := range args {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[i] = data
	}
	policy, err := torchwood.ParsePolicy(files[0])
	if err != nil {
		return err
	}
	return torchwood.VerifyProof(policy, tlog.RecordHash(files[1]), files[2])
}
