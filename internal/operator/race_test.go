//go:build race

package operator_test

// The race detector makes everything several times dearer.
const many = 2_000
