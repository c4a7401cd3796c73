package cosmosemu

import (
	"math"
	"sync"
	"time"
)

// budgetWindow is what a budget is given for. The service's windows are not
// published; that they have this length is assumed.
const budgetWindow = time.Second

// budget is what one physical partition may spend: its rate, in each second of
// the clock. A request is admitted while something is left, and may spend more
// than that, because its price is known only afterwards. The debt is taken from
// the seconds that follow. What is left over at a second's end is lost.
//
// The zero value is a budget of which nothing was spent. It is safe for
// concurrent use.
type budget struct {
	mu     sync.Mutex
	window time.Time // its start
	spent  float64   // in the window, with the debt of those before
}

// admit returns how long it is until there is something to spend: 0 for now.
// The rate is in RU per second, and may change from call to call.
func (b *budget) admit(now time.Time, rate float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if windows := now.Sub(b.window) / budgetWindow; windows > 0 {
		b.spent = max(0, b.spent-rate*float64(windows))
		b.window = now.Truncate(budgetWindow)
	}
	if b.spent < rate {
		return 0
	}
	windows := math.Floor(b.spent / rate)
	return b.window.Add(time.Duration(windows * float64(budgetWindow))).Sub(now)
}

// charge takes what a request that was admitted has cost, in RU.
func (b *budget) charge(units float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent += units
}
