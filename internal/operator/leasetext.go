package operator

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"opfeed/leases"
)

// Widths of the cells of a lease: a line of all of them has less than 100
// characters.
const (
	widthToken    = 10
	widthKey      = 6
	widthOwner    = 24
	widthEpoch    = 5
	widthPosition = 12
	widthLag      = 7
	widthAge      = 4
	widthNote     = 99
)

const noLease = "no lease of this processor is stored: no replica of it has run yet,\nor OPFEED_PROCESSOR_NAME or the host of the account is another than the replicas have\n"

func writeLeases(w io.Writer, l listing, lag bool) error {
	var b strings.Builder
	if len(l.Leases) == 0 {
		b.WriteString(noLease)
	} else {
		head := []string{"RANGE", "KEYS", "V", "OWNER", "EPOCH", "POSITION", "LAG", "AGE", "STATE"}
		cells := [][]string{head}
		for _, r := range l.Leases {
			cells = append(cells, []string{head10(r.Token), keys(r), version(r), tail(r.Owner, widthOwner), narrow(strconv.FormatInt(r.Epoch, 10), widthEpoch),
				narrow(position(r), widthPosition), lagCell(r), narrow(secondsAgo(r.Age), widthAge), r.State})
		}
		if !lag {
			for i := range cells {
				cells[i] = append(cells[i][:6], cells[i][7:]...)
			}
		}
		_ = table(&b, cells) // a builder does not fail
	}
	notes := leaseNotes(l.Leases)
	for _, h := range l.Hosts {
		if h.Live {
			notes = append(notes, fmt.Sprintf("host %s owns no lease; it was there %s ago", tail(cmp.Or(h.Instance, h.StartID), widthOwner), secondsAgo(h.Age)))
		}
	}
	return writeNotes(w, &b, notes)
}

func writeLag(w io.Writer, t lagTotal) error {
	var b strings.Builder
	if len(t.Leases) == 0 {
		b.WriteString(noLease)
		return writeNotes(w, &b, nil)
	}
	cells := [][]string{{"RANGE", "KEYS", "OWNER", "POSITION", "LAG"}}
	for _, r := range t.Leases {
		cells = append(cells, []string{head10(r.Token), keys(r), tail(r.Owner, widthOwner), narrow(position(r), widthPosition), lagCell(r)})
	}
	_ = table(&b, cells)
	atMost := ""
	if t.AtMost {
		atMost = "at most "
	}
	fmt.Fprintf(&b, "\ntotal %s%d transactions", atMost, t.Total)
	if t.Unknown > 0 {
		fmt.Fprintf(&b, "; not known of %d", t.Unknown)
	}
	b.WriteByte('\n')
	return writeNotes(w, &b, leaseNotes(t.Leases))
}

// leaseNotes say what does not fit into the table.
func leaseNotes(rows []leaseRow) []string {
	var notes []string
	for _, r := range rows {
		name := head10(r.Token)
		if name == none {
			name = "document " + tail(r.ID, widthOwner)
		}
		note := func(format string, args ...any) { notes = append(notes, name+": "+fmt.Sprintf(format, args...)) }
		if utf8.RuneCountInString(r.Token) > widthToken {
			note("its whole token is %s", r.Token)
		}
		if r.Problem != "" {
			note("%s; nobody serves it", r.Problem)
			continue
		}
		if r.Continuation == "" && r.Start != "" {
			note("it was reset and begins at %s", beginning(r.Start))
		}
		if r.Request != "" {
			note("%s asks for it", asker(r.Request))
		}
		if r.Offer != "" {
			note("its owner leaves and offers it to %s", asker(r.Offer))
		}
		if r.Covered {
			note("other leases cover its range, and nobody reads it any more; its lag is not in the total")
		}
		if r.LagAtMost {
			note("its lag is at most that: its partition has changes of others, or its range was split")
		}
		if r.LagProblem != "" && (r.Continuation != "" || r.Start == "") {
			note("lag: %s", r.LagProblem)
		}
	}
	return notes
}

func writeNotes(w io.Writer, b *strings.Builder, notes []string) error {
	for i, n := range notes {
		if i == 0 {
			b.WriteByte('\n')
		}
		b.WriteString(cut(n, widthNote) + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	body, err := encode(v, "  ")
	if err != nil {
		return err
	}
	if _, err := w.Write(append(body, '\n')); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func head10(token string) string { return narrow(token, widthToken) }

// narrow cuts what is already fit to be shown to a width, the mark of the cut
// included.
func narrow(s string, width int) string {
	if s == "" {
		return none
	}
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return cut(s, width-1)
}

// tail is narrow that keeps the end: names of pods differ there.
func tail(s string, width int) string {
	if s == "" {
		return none
	}
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	return "…" + string(runes[len(runes)-width+1:])
}

func keys(r leaseRow) string {
	if r.Min == "" && r.Max == "" {
		return none
	}
	return narrow(cmp.Or(r.Min, "00"), widthKey) + "–" + narrow(cmp.Or(r.Max, "FF"), widthKey)
}

func version(r leaseRow) string {
	if r.Version == leases.Unreadable {
		return none
	}
	return narrow(strconv.Itoa(r.Version), 2)
}

// position is where a lease stands: its LSN, or where it begins.
func position(r leaseRow) string {
	if r.Continuation == "" {
		return r.Start
	}
	return number(r.Continuation)
}

// number takes the quotes off an ETag that is a number.
func number(continuation string) string {
	if n := strings.Trim(continuation, `"`); n != "" && strings.Trim(n, "0123456789") == "" {
		return n
	}
	return continuation
}

func beginning(start string) string {
	if start == startBeginning {
		return "the beginning"
	}
	return start
}

func lagCell(r leaseRow) string {
	switch {
	case r.Problem != "":
		return none
	case r.Lag == nil && r.Continuation == "":
		return "unknown"
	case r.Lag == nil:
		return "error"
	case r.LagAtMost:
		return narrow("≤"+strconv.FormatInt(*r.Lag, 10), widthLag)
	default:
		return narrow(strconv.FormatInt(*r.Lag, 10), widthLag)
	}
}

func secondsAgo(seconds *int64) string {
	if seconds == nil {
		return none
	}
	now := time.Unix(1<<40, 0)
	return age(now, now.Add(-time.Duration(min(*seconds, 1<<32))*time.Second))
}

// asker is who asks, in a value of "startId instance".
func asker(request string) string {
	id, instance, _ := strings.Cut(request, " ")
	return tail(cmp.Or(instance, id), maxCell)
}
