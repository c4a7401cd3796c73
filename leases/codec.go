package leases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Names in the properties of a lease. .NET hosts copy properties they do not
// know from parent to child, and never read them.
const (
	propertyStartID = "opfeed.startId"
	propertyEpoch   = "opfeed.epoch"
	propertyRenewal = "opfeed.renewal"
	propertyRequest = "opfeed.request"
	propertyOffer   = "opfeed.offer"
	propertyStart   = "opfeed.start"
	propertyPage    = "opfeed.page"
)

// timestampLayout is what Newtonsoft.Json writes for a UTC DateTime: at most
// seven digits of a second, and a Z.
const timestampLayout = "2006-01-02T15:04:05.9999999Z"

// fields is the JSON of a lease in the order in which .NET writes it.
type fields struct {
	ID                string                     `json:"id"`
	Version           int                        `json:"version"`
	LeaseToken        string                     `json:"LeaseToken"`
	FeedRange         json.RawMessage            `json:"FeedRange"`
	Owner             *string                    `json:"Owner"`
	ContinuationToken *string                    `json:"ContinuationToken"`
	Properties        map[string]json.RawMessage `json:"properties"`
	Timestamp         *string                    `json:"timestamp"`
	Mode              string                     `json:"Mode,omitempty"`
}

// known are the top-level names that encode writes itself, or that belong to
// the service and are set by it on every write.
var known = []string{
	"id", "version", "LeaseToken", "FeedRange", "Owner", "ContinuationToken", "properties", "timestamp", "Mode",
	"_etag", "_ts", "_rid", "_self", "_attachments", "_lsn",
}

// incremental is the mode of a lease whose position we understand, as is none.
// .NET's other ones tell of deletions, too, and their positions are of that feed.
const incremental = "Incremental Feed"

// encode gives the JSON of d. Equal documents give equal bytes.
func (d Document) encode() ([]byte, error) {
	if r, err := epkRange(d.Token); d.Version == VersionEPK && (err != nil || r != d.Range) {
		return nil, fmt.Errorf("encode lease %s: the token is not that of its range", d.ID)
	}
	f := fields{
		ID:                d.ID,
		Version:           d.Version,
		LeaseToken:        d.Token,
		FeedRange:         d.rangeJSON(),
		Owner:             orNull(d.Owner),
		ContinuationToken: orNull(d.Continuation),
		Properties:        map[string]json.RawMessage{},
		Mode:              d.Mode,
	}
	maps.Copy(f.Properties, d.properties)
	if d.StartID != "" || d.Epoch != 0 || d.Renewal != 0 {
		f.Properties[propertyStartID] = quote(Host{Instance: d.Owner, StartID: d.StartID}.String())
		f.Properties[propertyEpoch] = quote(strconv.FormatInt(d.Epoch, 10))
		f.Properties[propertyRenewal] = quote(strconv.FormatInt(d.Renewal, 10))
	}
	page := ""
	if d.Page != "" && d.Owner != "" && d.StartID != "" {
		page = d.StartID + " " + d.Page
	}
	for name, value := range map[string]string{
		propertyRequest: d.Request, propertyOffer: d.Offer, propertyStart: d.Start, propertyPage: page,
	} {
		if value != "" {
			f.Properties[name] = quote(value)
		}
	}
	if !d.Timestamp.IsZero() {
		f.Timestamp = orNull(d.Timestamp.UTC().Format(timestampLayout))
	}
	head, err := marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode lease %s: %w", d.ID, err)
	}
	if len(d.unknown) == 0 {
		return head, nil
	}
	out := bytes.NewBuffer(head[:len(head)-1])
	for _, name := range slices.Sorted(maps.Keys(d.unknown)) {
		out.WriteByte(',')
		out.Write(quote(name))
		out.WriteByte(':')
		out.Write(d.unknown[name])
	}
	out.WriteByte('}')
	var compact bytes.Buffer
	if err := json.Compact(&compact, out.Bytes()); err != nil {
		return nil, fmt.Errorf("encode lease %s: %w", d.ID, err)
	}
	return compact.Bytes(), nil
}

// decode reads one stored document. etag is that of the reply; when it is empty
// the body's is used. A document that is no lease comes back with Version
// Unreadable, what could be read of it, and the reason: one odd document must
// not hide the other leases, and what it holds must survive its repair.
func decode(body []byte, etag string) (Document, error) {
	top := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &top); err != nil {
		return Document{Version: Unreadable, Fault: brief(err)}, fmt.Errorf("decode lease: %s", brief(err))
	}
	r := reader{top: top}
	d := Document{
		ID:           r.text("id"),
		Version:      int(r.number("version")),
		Token:        r.text("LeaseToken"),
		Owner:        r.text("Owner"),
		Continuation: r.text("ContinuationToken"),
		Mode:         r.text("Mode"),
		ETag:         etag,
	}
	if d.Token == "" {
		d.Token = r.text("PartitionId") // the name in .NET's schema before this one
	}
	if d.ETag == "" {
		d.ETag = r.text("_etag")
	}
	d.readRange(top["FeedRange"])
	d.Written = r.written()
	d.Timestamp = r.time()
	properties := map[string]json.RawMessage{}
	r.object("properties", &properties)
	d.readProperties(&r, properties)

	maps.DeleteFunc(top, func(name string, _ json.RawMessage) bool { return slices.Contains(known, name) })
	d.unknown = top
	if r.err == nil {
		r.err = d.check()
	}
	if r.err != nil {
		if d.Version != VersionRange0 || !d.ofOurFeed() || !isETag(d.Continuation) {
			d.Continuation = "" // who knows what it means there
		}
		d.Version, d.Fault = Unreadable, brief(r.err)
		return d, fmt.Errorf("decode lease %.200q: %s", d.ID, d.Fault)
	}
	return d, nil
}

// check finds what .NET's readers, or the service, would not take for what it
// seems to be.
func (d Document) check() error {
	switch {
	case d.ID == "" || d.Token == "":
		return errors.New("id or LeaseToken missing")
	case d.Version < 0:
		return errors.New("version is negative")
	case !d.ofOurFeed():
		return fmt.Errorf("mode is %.40q: its position is of another feed", d.Mode)
	case d.Continuation != "" && !isETag(d.Continuation):
		// Java stores its state in base64, azcosmos has JSON: sent to the service,
		// either would begin anew.
		return errors.New("ContinuationToken is no ETag in quotes")
	case d.Version != VersionEPK:
		return nil
	}
	// .NET's estimator goes by the range alone, others by the token.
	if r, err := epkRange(d.Token); err != nil || r != d.Range {
		return errors.New("FeedRange is missing, or not that of LeaseToken")
	}
	return nil
}

func (d Document) ofOurFeed() bool { return d.Mode == "" || strings.EqualFold(d.Mode, incremental) }

func isETag(s string) bool {
	return len(s) > 2 && s[0] == '"' && !strings.ContainsAny(s[1:len(s)-1], "\"\r\n") && s[len(s)-1] == '"'
}

// epkToken gives the token of a version 1 lease, as .NET writes it: an empty
// minimum stays empty.
func epkToken(r azcosmos.FeedRange) string { return r.MinInclusive + "-" + r.MaxExclusive }

// epkRange gives the range that a token of version 1 says.
func epkRange(token string) (azcosmos.FeedRange, error) {
	low, high, _ := strings.Cut(token, "-")
	const upperHex = "0123456789ABCDEF"
	if strings.Trim(low, upperHex) != "" || strings.Trim(high, upperHex) != "" || compareKeys(low, high) >= 0 {
		return azcosmos.FeedRange{}, fmt.Errorf("read lease token %.100q: it is not of the form min-max", token)
	}
	return azcosmos.FeedRange{MinInclusive: low, MaxExclusive: high}, nil
}

// readRange takes a range with the usual bounds. Of any other FeedRange – a
// partition key, the id of a physical partition, something unknown – it leaves
// the range empty: the Manager fills it in by token.
func (d *Document) readRange(raw json.RawMessage) {
	d.feedRange, d.Range = raw, azcosmos.FeedRange{}
	outer, inner := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if json.Unmarshal(raw, &outer) != nil || json.Unmarshal(outer["Range"], &inner) != nil {
		return
	}
	var low, high *string
	lowIn, highIn := true, false
	for name, into := range map[string]any{
		"min": &low, "max": &high, "isMinInclusive": &lowIn, "isMaxInclusive": &highIn,
	} {
		if value, ok := inner[name]; ok && json.Unmarshal(value, into) != nil {
			return
		}
	}
	if low != nil && high != nil && lowIn && !highIn {
		d.Range = azcosmos.FeedRange{MinInclusive: *low, MaxExclusive: *high}
	}
}

// rangeJSON gives the stored form back while it still says the same range: it
// may hold more than that.
func (d Document) rangeJSON() json.RawMessage {
	stored := Document{}
	if stored.readRange(d.feedRange); stored.Range == d.Range {
		if len(d.feedRange) == 0 {
			return json.RawMessage("null")
		}
		return d.feedRange
	}
	return json.RawMessage(fmt.Sprintf(`{"Range":{"min":%s,"max":%s}}`,
		quote(d.Range.MinInclusive), quote(d.Range.MaxExclusive)))
}

// readProperties faults the epoch alone, which must not start anew for nothing.
// Without a start id the owner is a stranger, and any renewal is as good as the
// one before.
func (d *Document) readProperties(r *reader, properties map[string]json.RawMessage) {
	of := reader{top: properties}
	d.Epoch = of.numeral(propertyEpoch)
	if r.err == nil {
		r.err = of.err
	}
	// .NET's hosts keep it, whatever lease they take: with another owner beside it
	// than the one that it was written with, it says nothing.
	id, owner, named := strings.Cut(of.text(propertyStartID), " ")
	if !named || owner == d.Owner {
		d.StartID = id
	}
	// Whoever does not know the page keeps it likewise.
	if of, page, _ := strings.Cut(of.text(propertyPage), " "); d.Owner != "" && d.StartID != "" && of == d.StartID {
		d.Page = shownPage(page)
	}
	d.Renewal = of.numeral(propertyRenewal)
	d.Request, d.Offer, d.Start = of.text(propertyRequest), of.text(propertyOffer), of.text(propertyStart)
	for _, name := range []string{
		propertyStartID, propertyEpoch, propertyRenewal, propertyRequest, propertyOffer, propertyStart, propertyPage,
	} {
		delete(properties, name)
	}
	d.properties = properties
}

// reader picks fields and remembers the first that has an odd type.
type reader struct {
	top map[string]json.RawMessage
	err error
}

func (r *reader) object(name string, into any) {
	raw, ok := r.top[name]
	if !ok || string(raw) == "null" {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", name, err)
	}
}

func (r *reader) text(name string) (s string) {
	r.object(name, &s)
	return s
}

func (r *reader) number(name string) (n int64) {
	r.object(name, &n)
	return n
}

// numeral reads a count. One that is negative, or so high that it could overflow,
// was not counted.
func (r *reader) numeral(name string) int64 {
	const most = 1 << 53
	s := r.text(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (n < 0 || n > most) {
		err = fmt.Errorf("%d is no count", n)
	}
	if err != nil {
		if r.err == nil {
			r.err = fmt.Errorf("%s: %w", name, err)
		}
		return 0
	}
	return n
}

// time reads the explicit timestamp, or the server's where there is none. It is
// only shown, so that an odd one is no fault of the lease.
func (r *reader) time() time.Time {
	var s string
	if json.Unmarshal(r.top["timestamp"], &s) == nil && s != "" {
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.9999999"} {
			if t, err := time.Parse(layout, s); err == nil && writable(t) {
				return t.UTC()
			}
		}
	}
	return r.written()
}

func (r *reader) written() time.Time {
	var seconds int64
	if json.Unmarshal(r.top["_ts"], &seconds) == nil && seconds > 0 && seconds < math.MaxUint32 {
		return time.Unix(seconds, 0).UTC()
	}
	return time.Time{}
}

// writable says whether a time can be written as a timestamp.
func writable(t time.Time) bool { return t.UTC().Year() > 0 && t.UTC().Year() < 10000 }

// brief gives the text of an error that may quote what somebody stored.
func brief(err error) string {
	const most = 200
	s := err.Error()
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func quote(s string) json.RawMessage {
	b, err := marshal(s)
	if err != nil { // a string always encodes
		panic(err)
	}
	return b
}

// marshal leaves <, > and & as they are, as .NET does.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
