package system_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"opfeed/cs"
	"opfeed/cs/cssim"
)

// What becomes of a document, for the table.
const (
	noOperation = "no operation"
	unlinked    = "resource without a link"
	orphaned    = "resource that links to no operation"
	follows     = "resource follows its operation"
	revoking    = "resource whose credentials are revoked"
	erased      = "resource erased with its operation"
	erasedBelow = "resource erased with the one that it lay below"
	unfollowed  = "resource of an operation that did not move"
	manyLinks   = "resource of several operations"
	unwritable  = "resource that cannot be written"
	quarantined = "operation quarantined"
	softly      = "operation deleted softly before"
	unlooked    = "at fault, and ended or no operation before the service came"
	endedBefore = "operation had ended before"
	leftAlone   = "operation left alone"
	waiting     = "operation waits for an internalId"
	active      = "operation pending"
	timedOut    = "operation failed by its deadline: its object did not end it"
	nameless    = "operation ended by its deadline, without an internalId"
	asObject    = "operation ended as its object did"
	expired     = "gone by its own ttl"
)

// reading is what a document is, by this test's own reading of docs/operations.md.
type reading struct {
	fate      string // noOperation, quarantined, softly, endedBefore, leftAlone, waiting or active
	partition string
	id        string
	request   string
	status    string
	name      string // what links call the operation
	ref       cs.Ref
	fault     bool // no string where one must be: nobody knows what it is
	// unseen: had it been there before the service was, nobody would have looked
	// at it, since no list shows it.
	unseen bool
}

func read(d map[string]any) reading {
	r := reading{fate: noOperation, partition: textAt(d, "partitionKey"), id: textAt(d, "id")}
	kind := strings.ToLower(textAt(d, "resourceType"))
	addressed := sendable(r.partition) && sendable(r.id)
	if kind != "microsoft.redhatopenshift/hcpoperationstatuses" && kind != "microsoft.redhatopenshift/hcpoperationsstatus" {
		if r.unseen = true; kind == "" && !addressed {
			r.fate = quarantined
		}
		return r
	}
	properties, isObject := d["properties"].(map[string]any)
	r.fault = !isObject
	for _, field := range []string{"status", "request", "internalId", "operationId"} {
		v := properties[field]
		_, isString := v.(string)
		r.fault = r.fault || v != nil && !isString
	}
	r.request = spelled(textAt(d, "properties", "request"), "Create", "Update", "Delete", "RequestCredential", "RevokeCredentials")
	r.status = spelled(textAt(d, "properties", "status"), "Succeeded", "Failed", "Canceled")
	for _, id := range []string{
		textAt(d, "properties", "operationId"), textAt(d, "properties", "resourceId"), textAt(d, "resourceID"),
		strings.ReplaceAll(r.id, "|", "/"),
	} {
		id = strings.TrimRight(id, "/")
		if r.name = id[strings.LastIndexByte(id, '/')+1:]; r.name != "" {
			break
		}
	}
	r.fault = r.fault && !isTerminal(r.status) // what has ended is ended
	r.fate = r.fateOf(d, addressed)
	r.unseen = isTerminal(r.status) || d["deletionTimestamp"] != nil
	return r
}

func (r *reading) fateOf(d map[string]any, addressed bool) string {
	internalID := textAt(d, "properties", "internalId")
	var err error
	switch r.ref, err = cs.ParseRef(internalID); {
	case !addressed:
		return quarantined
	case d["deletionTimestamp"] != nil:
		return softly
	case r.fault:
		return quarantined
	case isTerminal(r.status):
		return endedBefore
	case deadlines[r.request] == 0, r.request == "Delete" && ofControllers(d):
		return leftAlone
	case internalID == "":
		return waiting
	case err != nil:
		return quarantined
	case !fits(r.request, r.ref.Kind):
		return leftAlone
	}
	return active
}

// ofControllers tells whether a Delete says that controllers do it.
func ofControllers(d map[string]any) bool {
	properties, _ := d["properties"].(map[string]any)
	for _, kind := range []string{"Cluster", "NodePool", "ExternalAuth"} {
		if properties["usesNew"+kind+"DeletionApproach"] == true {
			return true
		}
	}
	return false
}

// deadlines are those of the requests that opfeed carries to their end; short, so
// that what never ends does so here.
var deadlines = map[string]time.Duration{
	"Create": 4 * time.Minute, "Update": 4 * time.Minute, "Delete": 5 * time.Minute,
	"RequestCredential": 3 * time.Minute, "RevokeCredentials": 3 * time.Minute,
}

func fits(request string, k cs.Kind) bool {
	switch request {
	case "RequestCredential":
		return k == cs.BreakGlassCredential
	case "RevokeCredentials":
		return k == cs.Cluster
	}
	return k != cs.BreakGlassCredential
}

func isTerminal(status string) bool {
	return status == "Succeeded" || status == "Failed" || status == "Canceled"
}

// spelled gives s the spelling of a word that differs in case only.
func spelled(s string, words ...string) string {
	for _, w := range words {
		if strings.ToLower(s) == strings.ToLower(w) { //nolint:staticcheck // EqualFold folds more letters than case
			return w
		}
	}
	return s
}

// sendable: azcosmos sends it so that the account reads the same.
func sendable(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '"' || r == '\\' || r == utf8.RuneError || r > 0xFFFF || unicode.IsControl(r)
	})
}

func valueAt(d map[string]any, path ...string) (v any, ok bool) {
	for i, name := range path {
		if v, ok = d[name]; !ok || i == len(path)-1 {
			break
		}
		d, ok = v.(map[string]any)
		if !ok {
			return nil, false
		}
	}
	return v, ok
}

func textAt(d map[string]any, path ...string) string {
	v, _ := valueAt(d, path...)
	s, _ := v.(string)
	return s
}

// creature is a specimen that Cosmos DB took, before and after.
type creature struct {
	specimen
	reading

	stored       time.Time
	before       map[string]any
	after        map[string]any // nil: gone
	etag, newTag string
}

// judge says what became of each creature, and what is wrong with that.
type judge struct {
	herd    []*creature
	named   map[string][]*creature // operations by partition
	objects map[string]cssim.Object
	checks  map[string]int       // how many inflight checks of a cluster failed
	shunned map[[2]string]string // quarantined, by partition and id: why
	alone   int
}

func (c *creature) changes() []difference { return differences("", c.before, c.after) }

func (c *creature) touched() bool { return c.after == nil || c.etag != c.newTag }

// mayExpire: its own time to live ends while the test runs.
func (c *creature) mayExpire() bool {
	n, ok := c.before["ttl"].(json.Number)
	seconds, err := strconv.ParseFloat(n.String(), 64)
	return ok && err == nil && seconds > 0 && seconds < 4*3600
}

// judge returns what became of a creature and what is wrong with it, if anything.
func (j *judge) judge(c *creature) (became string, wrong []string) {
	if c.mayExpire() {
		return expired, nil
	}
	if c.after != nil {
		for _, d := range c.changes() {
			if !c.owned(d) {
				wrong = append(wrong, "not opfeed's to change: "+d.String())
			}
		}
		if c.touched() && !c.raised() {
			wrong = append(wrong, "changed, and instanceVersion was not raised")
		}
	}
	isOperation := c.name != ""
	if isOperation {
		became, more := j.operation(c)
		return became, append(wrong, more...)
	}
	became, more := j.resource(c)
	return became, append(wrong, more...)
}

// owned: opfeed's to change, by docs/operations.md.
func (c *creature) owned(d difference) bool {
	switch {
	case d.path == "properties/cosmosMetadata/instanceVersion":
		return true
	case c.name != "":
		return d.path == "properties/status" || d.path == "properties/lastTransitionTime" || d.path == "properties/error" ||
			strings.HasPrefix(d.path, "properties/error/")
	case slices.Contains(statePaths, d.path):
		_, isText := d.after.(string)
		return isText
	case slices.Contains(linkPaths, d.path):
		return d.after == (missing{})
	case d.path == "properties/properties", d.path == "properties/serviceProviderProperties":
		// A parent that was missing comes with the state.
		o, isObject := d.after.(map[string]any)
		return (d.before == nil || d.before == missing{}) && isObject && len(o) == 1 && textAt(o, "provisioningState") != ""
	case d.path == "deletionTimestamp", d.path == "ttl":
		return c.after["deletionTimestamp"] != nil
	}
	return false
}

var (
	statePaths = []string{
		"properties/provisioningState", "properties/properties/provisioningState",
		"properties/serviceProviderProperties/provisioningState",
	}
	activePaths = []string{"properties/activeOperationId", "properties/serviceProviderProperties/activeOperationId"}
	linkPaths   = append([]string{"properties/serviceProviderProperties/revokeCredentialsOperationId"}, activePaths...)
)

// raised: readers of the newest generation drop what does not raise it.
func (c *creature) raised() bool {
	at := []string{"properties", "cosmosMetadata", "instanceVersion"}
	v, _ := valueAt(c.before, at...)
	n, _ := v.(json.Number)
	was, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || was == 1<<63-1 {
		return true
	}
	v, _ = valueAt(c.after, at...)
	n, _ = v.(json.Number)
	is, err := strconv.ParseInt(n.String(), 10, 64)
	return err == nil && is > was
}

func (j *judge) operation(c *creature) (became string, wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if c.after == nil {
		return c.fate, []string{"the operation is gone"}
	}
	_, shunned := j.shunned[[2]string{c.partition, c.id}]
	if shunned != (c.fate == quarantined) {
		bad("quarantined: %v, and it should be one of: %s", shunned, c.fate)
	}
	switch c.fate {
	case active:
		became, more := j.active(c)
		return became, append(wrong, more...)
	case waiting:
		became, more := j.nameless(c)
		return became, append(wrong, more...)
	case leftAlone:
		j.alone++
	}
	if c.touched() {
		bad("touched, although it should be one of: %s: %v", c.fate, c.changes())
	}
	return c.fate, wrong
}

// active judges an operation that opfeed has to carry to its end.
func (j *judge) active(c *creature) (became string, wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	now, want := c.ended(), j.outcome(c)
	switch {
	case now.status == "":
		bad("the operation has not ended; want %q: %s", want.status, want.words)
		return active, wrong
	case want.status == "" || now.code == "OperationTimedOut" || now.code == "NotFound":
		if now.status != "Failed" || now.code != want.late || now.message == "" {
			bad("the operation is %+v, want Failed by its deadline with %s: %s", now, want.late, want.words)
		}
		if !c.overdue(now.since) || want.status != "" && now.since.After(want.since.Add(time.Minute)) {
			bad("the operation is %+v, and not by its deadline; want %q: %s", now, want.status, want.words)
		}
		return timedOut, wrong
	case now.status != want.status:
		bad("the operation is %+v, and not %q: %s", now, want.status, want.words)
	case now.status == "Failed" && (now.code == "" || now.message == ""):
		bad("the operation Failed without a code or a message: %+v", now)
	case now.status == "Failed" && want.code != "" && (now.code != want.code || now.message != want.message || now.details != want.details):
		bad("the error is %+v, and not %q %q with %d details", now, want.code, want.message, want.details)
	case now.status == "Succeeded" && slices.ContainsFunc(c.changes(), func(d difference) bool { return strings.HasPrefix(d.path, "properties/error") }):
		bad("the operation Succeeded with an error")
	case now.since.Before(want.since.Add(-time.Second)):
		bad("the operation ended at %v: %s", now.since, want.words)
	}
	return asObject, wrong
}

// nameless judges an operation of which nobody ever said what it is about.
func (j *judge) nameless(c *creature) (became string, wrong []string) {
	now := c.ended()
	switch {
	case !c.overdue(now.since):
		wrong = append(wrong, fmt.Sprintf("the operation is %+v, want it ended by its deadline", now))
	case now.status == "Succeeded" && c.request == "Delete":
		// No document of its resource was left.
		for _, r := range j.herd {
			if r.name == "" && r.before["deletionTimestamp"] == nil && slices.ContainsFunc(r.linksAfter(), func(name string) bool { return strings.EqualFold(name, c.name) }) && r.partition == c.partition {
				wrong = append(wrong, "the operation Succeeded, and "+r.id+" still names it")
			}
		}
	case now.status != "Failed" || now.code != "OperationTimedOut" || now.message == "":
		wrong = append(wrong, fmt.Sprintf("the operation is %+v, want Failed by its deadline", now))
	}
	return nameless, wrong
}

// ended is how a terminal operation ended; no status: it has not.
func (c *creature) ended() end {
	e := end{status: textAt(c.after, "properties", "status"), code: textAt(c.after, "properties", "error", "code"),
		message: textAt(c.after, "properties", "error", "message")}
	if !isTerminal(e.status) {
		return end{}
	}
	details, _ := valueAt(c.after, "properties", "error", "details")
	list, _ := details.([]any)
	e.details = len(list)
	e.since, _ = time.Parse(time.RFC3339Nano, textAt(c.after, "properties", "lastTransitionTime"))
	return e
}

// overdue: at a time the operation was as old as its request may get. No startTime
// of these documents makes it older than what the database says of it.
func (c *creature) overdue(at time.Time) bool {
	return at.Sub(c.stored) > deadlines[c.request]-2*time.Second
}

// end is how an operation ended, or should.
type end struct {
	status, code, message string
	details               int
	since                 time.Time
	late                  string // the code of its deadline
	words                 string
}

// outcome is how the simulator's deeds end an operation, by its journal and the
// tables of docs/operations.md; no status: they do not.
func (j *judge) outcome(c *creature) end {
	o, there := j.objects[c.ref.Path()]
	if !there {
		o.Gone = true
	}
	state, last := strings.ToLower(o.State), lastOf(o)
	e := end{since: last.OutcomeAt, late: "OperationTimedOut",
		words: fmt.Sprintf("its object is %q (gone: %v) since %v", state, o.Gone, last.OutcomeAt)}
	if o.Gone {
		e.late = "NotFound"
	}
	if state == "" && c.ref.Kind == cs.ExternalAuth {
		state = "ready" // by being there
	}
	switch {
	case c.request == "Delete" && o.Gone:
		e.status = "Succeeded"
	case c.request == "Delete" || o.Gone:
		// Nothing else ends a delete, and being gone ends nothing else.
	case c.request == "RevokeCredentials":
		return j.revoked(c, e)
	case state == "ready", state == "issued":
		e.status = "Succeeded"
	case state == "failed", state == "revoked", state == "expired":
		e.status = "Failed"
	case state == "error":
		e.status, e.code, e.message = "Failed", last.ErrorCode, last.ErrorMessage
		checks := j.checks[c.ref.Path()]
		switch {
		case checks == 1:
			e.code, e.message = "InternalServerError", "Simulated failure of check 1."
		case checks > 1:
			e.code, e.message, e.details = "MultipleErrorsOccurred", "Cluster provisioning failed due to multiple errors.", checks
		case c.ref.Kind != cs.Cluster || e.code == "":
			e.code = "InternalServerError" // the status of the others has none
		}
	}
	return e
}

func lastOf(o cssim.Object) cssim.Mutation {
	if len(o.Mutations) == 0 {
		return cssim.Mutation{}
	}
	return o.Mutations[len(o.Mutations)-1]
}

// revoked is outcome for all credentials of a cluster.
func (j *judge) revoked(c *creature, e end) end {
	states := map[string]int{}
	for path, o := range j.objects {
		if strings.HasPrefix(path, "/api/clusters_mgmt/v1/clusters/"+c.ref.Cluster+"/break_glass_credentials/") && !o.Gone {
			states[o.State]++
			if at := lastOf(o).OutcomeAt; at.After(e.since) {
				e.since = at
			}
		}
	}
	e.words = fmt.Sprintf("its credentials are %v since %v", states, e.since)
	failed := states["failed"]
	for _, over := range []string{"failed", "revoked", "expired"} {
		delete(states, over)
	}
	switch {
	case len(states) > 0: // some may still be used
	case failed > 0:
		e.status = "Failed"
	default:
		e.status = "Succeeded"
	}
	return e
}

// layBelow tells whether what a resource says to be its id lies, wherever it says
// so, below a resource that a delete has taken.
func (j *judge) layBelow(c *creature) bool {
	kind, _ := c.before["resourceType"].(string)
	own := ownIDs(c)
	return len(own) > 0 && strings.HasPrefix(strings.ToLower(kind), "microsoft.redhatopenshift/hcpopenshiftclusters/") &&
		slices.ContainsFunc(j.herd, func(r *creature) bool {
			if r.partition != c.partition || r.after != nil || !slices.ContainsFunc(j.linked(r, r.links()), deleted) {
				return false
			}
			return slices.ContainsFunc(ownIDs(r), func(id string) bool {
				return !slices.ContainsFunc(own, func(o string) bool { return !strings.HasPrefix(o, id+"/") })
			})
		})
}

func deleted(op *creature) bool {
	return op.after != nil && op.request == "Delete" && spelled(textAt(op.after, "properties", "status"), "Succeeded") == "Succeeded"
}

// ownIDs are the ids that a resource gives itself.
func ownIDs(c *creature) []string {
	var ids []string
	for _, at := range [][]string{{"resourceID"}, {"properties", "resourceId"}, {"properties", "cosmosMetadata", "resourceID"}} {
		if id := textAt(c.before, at...); id != "" {
			ids = append(ids, strings.ToLower(id))
		}
	}
	return ids
}

func (j *judge) resource(c *creature) (became string, wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	_, shunned := j.shunned[[2]string{c.partition, c.id}]
	links := c.links()
	if c.fate == unlooked && c.fate != quarantined {
		return c.fate, nil
	}
	if c.fate == quarantined || shunned {
		if c.fate != quarantined && len(links) == 0 {
			bad("quarantined, although it is no operation and has no link")
		}
		if c.touched() {
			bad("quarantined, and touched: %v", c.changes())
		}
		return unwritable, wrong
	}
	ops := j.linked(c, links)
	if c.after == nil && !slices.ContainsFunc(ops, deleted) && j.layBelow(c) {
		return erasedBelow, nil
	}
	untouched := func(became string) (string, []string) {
		if c.touched() {
			bad("touched, although it is a %s: %v", became, c.changes())
		}
		return became, wrong
	}
	switch {
	case c.before["deletionTimestamp"] != nil || len(links) == 0:
		if read(c.before).fate == noOperation && len(links) == 0 && c.before["deletionTimestamp"] == nil {
			return untouched(unlinked)
		}
		return untouched(noOperation)
	case !sendable(c.id):
		return untouched(unwritable)
	case len(ops) == 0:
		return untouched(orphaned)
	case slices.ContainsFunc(ops, func(op *creature) bool { return op.mayExpire() || op.after == nil }):
		return expired, nil // before or after it was followed
	case len(ops) > 1 || len(links) > 1:
		return manyLinks, j.several(c, ops)
	}
	op := ops[0]
	status := spelled(textAt(op.after, "properties", "status"), "Succeeded", "Failed", "Canceled")
	ended := isTerminal(status)
	if op.fault || !ended && !op.touched() {
		return untouched(unfollowed)
	}
	actives := namesAt(c.before, activePaths)
	if ended && op.request == "Delete" && status == "Succeeded" && len(actives) > 0 {
		if c.after != nil && c.after["deletionTimestamp"] == nil {
			bad("its operation, a delete, Succeeded, and it is still there")
		}
		return erased, wrong
	}
	if c.after == nil {
		return follows, []string{"gone, and no delete of it Succeeded"}
	}
	if len(actives) == 0 {
		// It names the operation as its revocation, whose status it does not show.
		if still := c.linksAfter(); ended && len(still) > 0 {
			bad("it still names %v", still)
		}
		if slices.ContainsFunc(c.changes(), func(d difference) bool { return slices.Contains(statePaths, d.path) }) {
			bad("a revocation changed its state: %v", c.changes())
		}
		return revoking, wrong
	}
	shown := 0
	for _, path := range statePaths {
		if v, ok := valueAt(c.after, strings.Split(path, "/")...); ok {
			shown++
			if v != status {
				bad("%s is %v, and its operation is %s", path, v, status)
			}
		}
	}
	if kind := strings.ToLower(textAt(c.before, "resourceType")); shown == 0 && slices.Contains(stateful, kind) {
		bad("it shows its state nowhere")
	}
	if still := c.linksAfter(); ended && len(still) > 0 {
		bad("it still names %v", still)
	}
	return follows, wrong
}

var stateful = []string{
	"microsoft.redhatopenshift/hcpopenshiftclusters", "microsoft.redhatopenshift/hcpopenshiftclusters/nodepools",
	"microsoft.redhatopenshift/hcpopenshiftclusters/externalauths",
}

// several judges a resource that more than one operation may have: which was last
// is not known here.
func (j *judge) several(c *creature, ops []*creature) (wrong []string) {
	erasable := slices.ContainsFunc(ops, func(op *creature) bool {
		return op.request == "Delete" && spelled(textAt(op.after, "properties", "status"), "Succeeded") == "Succeeded"
	})
	if c.after == nil && !erasable {
		return []string{"gone, and no delete of it Succeeded"}
	}
	return nil
}

func (c *creature) links() []string      { return namesAt(c.before, linkPaths) }
func (c *creature) linksAfter() []string { return namesAt(c.after, linkPaths) }

func namesAt(d map[string]any, paths []string) (names []string) {
	for _, path := range paths {
		name := textAt(d, strings.Split(path, "/")...)
		if name != "" && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// linked are the operations that a resource names.
func (j *judge) linked(c *creature, links []string) (ops []*creature) {
	for _, op := range j.named[c.partition] {
		if op.before["deletionTimestamp"] == nil && slices.ContainsFunc(links, func(name string) bool { return strings.EqualFold(name, op.name) }) {
			ops = append(ops, op)
		}
	}
	return ops
}
