package cosmosemu_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

// What TestFigures does; `make bench` sets it.
var (
	measureFigures = flag.Bool("figures", false, "let TestFigures measure")
	strictFigures  = flag.Bool("figures.strict", false, "let TestFigures fail when a figure is not met")
)

// figure is something that the emulator must be able to do on two cores, so
// that it is never what a benchmark of something else measures.
type figure struct {
	name    string
	measure func(*testing.B)
	unit    string
	of      func(testing.BenchmarkResult) float64
	wanted  float64 // 0: nothing, it is there to compare with
	most    bool    // wanted is the most, not the least
}

var figures = []figure{
	{"point reads, azcosmos over loopback", BenchmarkLoopbackRead, "/s", perSecond, 10_000, false},
	{"writes, azcosmos over loopback", BenchmarkLoopbackWrite, "/s", perSecond, 5_000, false},
	{"handler alone, a write for each read", BenchmarkServeHTTP, "/s", perSecond, 50_000, false},
	{"feed page of 1,000 items over loopback", BenchmarkLoopbackFeedPage, "ms", milliseconds, 10, true},
	// To compare with: what of it is the client's.
	{"the same page, taken apart by azcosmos", BenchmarkLoopbackFeedPageDecoded, "ms", milliseconds, 0, true},
	{"point reads, net/http alone over loopback", BenchmarkLoopbackReadPlain, "/s", perSecond, 0, false},
}

func perSecond(r testing.BenchmarkResult) float64 { return float64(r.N) / r.T.Seconds() }

func milliseconds(r testing.BenchmarkResult) float64 {
	return float64(r.T) / float64(r.N) / float64(time.Millisecond)
}

// TestFigures measures what the emulator can do and prints it beside what is
// wanted. Time decides nothing unless -figures.strict says so. Each figure is
// the median of three runs of -test.benchtime each.
func TestFigures(t *testing.T) {
	if !*measureFigures {
		t.Skip("SKIPPED: measures only when asked to, by -figures (make bench)")
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(t.Output(), "%s, GOMAXPROCS %d, GOGC %q, GOMEMLIMIT %q, load before %.14s; items of 1 KB in %d partition keys; %d clients for each processor\n",
		runtime.Version(), runtime.GOMAXPROCS(0), os.Getenv("GOGC"), os.Getenv("GOMEMLIMIT"), load, benchSubscriptions, benchClients)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tmeasured\tbest\twanted\t")
	report := func(f figure, results ...float64) {
		slices.Sort(results)
		median, best, bound := results[len(results)/2], results[len(results)-1], "at least"
		met := median >= f.wanted
		if f.most {
			best, bound, met = results[0], "at most", median <= f.wanted
		}
		switch {
		case f.wanted == 0:
			fmt.Fprintf(w, "%s\t%.5g %s\t%.5g\t\t\n", f.name, median, f.unit, best)
			return
		case met:
			fmt.Fprintf(w, "%s\t%.5g %s\t%.5g\t%s %.5g\tmet\n", f.name, median, f.unit, best, bound, f.wanted)
		default:
			fmt.Fprintf(w, "%s\t%.5g %s\t%.5g\t%s %.5g\tnot met\n", f.name, median, f.unit, best, bound, f.wanted)
		}
		if !met && *strictFigures {
			t.Errorf("%s: not met", f.name)
		}
	}
	// Memory first: the process must not remember anything else.
	report(figure{name: "peak memory with 1,000,000 items, loaded and queried", unit: "GB", wanted: 3, most: true}, peakMemory(t))
	debug.FreeOSMemory()
	for _, f := range figures {
		var results []float64
		for range 3 {
			r := testing.Benchmark(f.measure)
			if r.N == 0 {
				t.Fatalf("%s: cannot be measured, see go test -bench", f.name)
			}
			results = append(results, f.of(r))
		}
		report(f, results...)
	}
	w.Flush()
	fmt.Fprint(t.Output(), table.String())
}

// peakMemory returns the most resident memory, in GB, that this process needed
// to load a million items and to answer a query that looks at all of them. A
// short run takes a tenth, and what the garbage collector would let the heap of
// ten times as many grow to, where nothing limits it.
func peakMemory(t *testing.T) float64 {
	const million, gigabyte = 1_000_000, 1e9
	items := million
	if testing.Short() {
		items = million / 10
	}
	start := time.Now()
	server, err := loadedServer(items)
	if err != nil {
		t.Fatal(err)
	}
	loaded, loadedPeak := time.Since(start), residentPeak()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	each := float64(m.HeapAlloc) / float64(items)
	rows := queryAll(t, server)
	peak := residentPeak()
	fmt.Fprintf(t.Output(), "memory: %d items loaded in %.1f s, peak %.2f GB, %.0f bytes an item live; all %d queried, peak %.2f GB\n",
		items, loaded.Seconds(), loadedPeak/gigabyte, each, rows, peak/gigabyte)
	if testing.Short() {
		fmt.Fprintf(t.Output(), "memory: short; extrapolated from %d items: twice what lives of 1,000,000, for the garbage collector\n", items)
		return 2 * each * million / gigabyte
	}
	return peak / gigabyte
}

// queryAll counts the items by a query that must look into each.
func queryAll(t *testing.T, server *cosmosemu.Server) int {
	client, err := benchClient("http://memory.cosmos.test", inproc.New(server))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	pager := client.NewQueryItemsPager(`SELECT c.id FROM c WHERE c.properties.status != "Succeeded"`,
		azcosmos.NewPartitionKey(), &azcosmos.QueryOptions{PageSizeHint: 1000})
	for pager.More() {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rows += len(page.Items)
	}
	return rows
}

// residentPeak is the most memory, in bytes, that was ever resident; NaN where
// nothing tells.
func residentPeak() float64 {
	text, _ := os.ReadFile("/proc/self/status")
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		return math.NaN()
	}
	kilobytes, _ := strconv.ParseFloat(string(found[1]), 64)
	return kilobytes * 1024
}
