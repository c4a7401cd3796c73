package service

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Build says which program this is.
type Build struct {
	Version   string `json:"version"`  // of the module, "(devel)" for a build from a working tree
	Revision  string `json:"revision"` // commit, with "-dirty" if the tree had changes; "unknown" if not recorded
	GoVersion string `json:"goVersion"`
}

// ReadBuild returns what the Go tool recorded in this binary.
func ReadBuild() Build {
	b := Build{Version: "(devel)", Revision: "unknown", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" {
		b.Version = v
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if b.Revision != "unknown" {
		b.Revision += dirty
	}
	return b
}

func registerBuild(r prometheus.Registerer, b Build) error {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "opfeed_build_info", Help: "Always 1; the labels say which build this is.",
	}, []string{"version", "revision", "go_version"})
	g.WithLabelValues(b.Version, b.Revision, b.GoVersion).Set(1)
	return r.Register(g)
}
