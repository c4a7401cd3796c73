//go:build race

package simulation_test

import "time"

// The race detector makes everything several times dearer.
const (
	fewSeeds   = 3
	deathStep  = 10 // of the requests in which TestFieldBug03FirstBatch kills
	fewMinutes = 5 * time.Minute
)
