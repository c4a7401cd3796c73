package tracing

import (
	"fmt"
	"slices"
	"strings"
)

// Exporters that spans can be sent by.
const (
	exporterOTLP    = "otlp"
	exporterConsole = "console"
)

// wanted says by which exporters the environment, a list as of os.Environ, wants
// spans to be sent; none is the default. An error names a variable that asks for
// what is not there, and repeats no value.
func wanted(environ []string) (exporters []string, err error) {
	set := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, "OTEL_") {
			set[name] = strings.TrimSpace(value)
		}
	}
	if strings.EqualFold(set["OTEL_SDK_DISABLED"], "true") {
		return nil, nil
	}
	asked := set["OTEL_TRACES_EXPORTER"]
	if asked == "" {
		if set["OTEL_EXPORTER_OTLP_ENDPOINT"] == "" && set["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "" {
			return nil, nil
		}
		asked = exporterOTLP
	}
	for name := range strings.SplitSeq(asked, ",") {
		switch name = strings.TrimSpace(name); name {
		case exporterOTLP, exporterConsole:
			if !slices.Contains(exporters, name) {
				exporters = append(exporters, name)
			}
		case "none", "":
		default:
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: names an exporter that is not there, want %s, %s or none", exporterOTLP, exporterConsole)
		}
	}
	if slices.Contains(exporters, exporterOTLP) {
		const all, own = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
		name := all
		if set[own] != "" {
			name = own
		}
		switch set[name] {
		case "", "http/protobuf", "http/json":
		default:
			return nil, fmt.Errorf("%s: is none of http/protobuf, http/json", name)
		}
	}
	return exporters, nil
}
