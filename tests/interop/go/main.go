// peer puts questions about our log to libraries that others wrote.
//
//	peer read URL VKEY [CHECKPOINT]     x/mod: the note, every entry, every proof, as JSON
//	peer fsck URL VKEY                  Tessera: the whole tree, by its tiles
//	peer proof POLICY ENTRY PROOF       torchwood: a tlog-proof by a policy
//
// Whatever does not hold ends it with 1 and a line on standard error.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func([]string) error{"read": read, "fsck": check, "proof": prove}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "peer: read, fsck or proof")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// arguments complains unless there are from least to most of them.
func arguments(given []string, least, most int) error {
	if len(given) < least || len(given) > most {
		return fmt.Errorf("%d arguments, not %d to %d", len(given), least, most)
	}
	return nil
}
