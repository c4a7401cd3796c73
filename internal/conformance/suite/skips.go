package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

const skipsFile = "docs/conformance.md"

// readSkips returns the tests that are not run, each with its reason. A row that
// names no test of the suite is an error: it is out of date.
func readSkips(tests []string) (map[string]string, error) {
	text, err := os.ReadFile(skipsFile)
	if err != nil {
		return nil, fmt.Errorf("read the list of skipped tests: %w", err)
	}
	skips, err := parseSkips(string(text))
	if err != nil {
		return nil, fmt.Errorf("read the list of skipped tests in %s: %w", skipsFile, err)
	}
	for name := range skips {
		if !slices.Contains(tests, name) {
			return nil, fmt.Errorf("%s skips %s, which is no test of the suite", skipsFile, name)
		}
	}
	return skips, nil
}

// parseSkips reads the table with the header "skipped test | reason".
func parseSkips(markdown string) (map[string]string, error) {
	var skips map[string]string
	for text := range strings.Lines(markdown) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(text), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) == 2 && cells[0] == "skipped test" && cells[1] == "reason":
			skips = map[string]string{}
		case skips == nil || strings.HasPrefix(cells[0], "---"):
		case len(cells) != 2:
			return skips, nil
		case cells[1] == "":
			return nil, fmt.Errorf("%s has no reason", cells[0])
		default:
			skips[strings.Trim(cells[0], "`")] = cells[1]
		}
	}
	if skips == nil {
		return nil, fmt.Errorf("there is no such table")
	}
	return skips, nil
}
