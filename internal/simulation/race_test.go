//go:build race

package simulation_test

import "time"

// The race detector makes everything several times dearer.
const (
	fewSeeds   = 3
	fewMinutes = 5 * time.Minute
)
