// Package dispatch runs the steps of changed documents: one goroutine per busy
// partition, bounded work, and a heap of due times for what is still pending.
//
// It knows keys with their latest version, not events. Feed, list, retry and
// due time all submit the same key, so that there is one path and duplicates
// collapse:
//
//	          Submit                    slot free
//	unknown ──────────► waiting ───────────────────► looking (≤ Beside per partition,
//	   ▲                  ▲  ▲                          │      ≤ Gate over all)
//	   │ Done             │  │ newer version            ▼
//	   ├──────────────────┼──┴───────────────────── applying (one per partition)
//	   │                  │ due                         │    ▲
//	   │                  └────────── pending ◄─────────┤    │  Again, or an error
//	   │                                 ▲ │ due, and   │    │
//	   │                                 │ ▼ Aside      │    │
//	   │                                waiting ──► looking aside (≤ Beside per
//	   │ newer version                              partition, ≤ Aside over all)
//	   └──────────────────────────── settled ◄──────────┘ LeftAlone, Quarantine
//
// What waits stands in a lane of its partition: one for looks, one for looks
// aside, one for quarantine records. None waits for another: a look aside may
// hang, and a record may find its store away. A newer version goes back to the
// first.
//
// Rules:
//
//   - One key is never handled twice at once. A newer version replaces one that
//     waits; one that comes while a step runs waits for its end, and is dropped
//     if it turns out to be the version which that step wrote (its echo).
//   - A submission is handled when its first step returned, with an error or
//     not; when it was superseded by a newer version that waits; or when it
//     needed no step. A quarantined one is handled once its record is stored. No
//     submission waits for a look aside but a newer version that finds it running.
//   - With Config.UntilDone, for callers without a list of what is pending, a
//     submission is handled not before its key leaves "pending" for good: Done,
//     settled, or superseded. Until then it counts against Config.Waiting.
//   - A version that fails for Config.GiveUpAfter, while other steps succeed, is
//     quarantined. If all steps fail nothing is: that is nobody's own fault.
//   - What waits for its first look is bounded by Config.Waiting: Submit blocks.
//     A newer version takes the place of the one that it replaces. What is pending
//     is a heap of due times, bounded in memory: beyond Config.Memory documents are
//     dropped and read again.
//   - Losing the context of Run cancels the work: nothing more is reported as
//     handled.
package dispatch
