// Package browser holds the status page to what it promises, in a real Chromium
// that is driven over its DevTools protocol: see [docs/status-page.md]. It has
// tests only. Without a Chromium they are skipped, aloud, or fail if
// REQUIRE_TOOLS=1.
//
// [docs/status-page.md]: ../../docs/status-page.md
package browser
