package main

import (
	"fmt"
	"strings"

	"opfeed/internal/service"
)

const introduction = `# Configuration

<!-- Written by "make config" from the code. Do not edit. -->

` + "`opfeed run`" + ` is configured by environment variables alone. ` + "`opfeed operations`, `opfeed leases` and `opfeed lag`" + `
take the same ones, and need those of Cosmos DB.

- A variable set to the empty string counts as not set.
- A duration is a number with its unit: ` + "`250ms`, `10s`, `1m30s`" + `.
- A secret can come from a file instead: set the variable's name with ` + "`_FILE`" + `.
- A variable that begins with ` + "`OPFEED_`" + ` and is not listed here is refused, but for
  ` + "`OPFEED_PORT…` and `OPFEED_SERVICE_…`" + `, which Kubernetes injects for a Service named opfeed.
- What is wrong is reported all at once, by the variable's name; the exit code is then 2.
- Without ` + "`OPFEED_COSMOS_KEY`" + ` the credentials of Entra ID are found as azidentity's
  DefaultAzureCredential does, by its own ` + "`AZURE_…`" + ` variables.

| Variable | Type | Default | Meaning |
|---|---|---|---|
`

// configuration is docs/configuration.md.
func configuration() string {
	var b strings.Builder
	b.WriteString(introduction)
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, v := range service.Variables() {
		value := ""
		switch {
		case strings.Contains(v.Default, " "):
			value = cell.Replace(v.Default) // said in words
		case v.Default != "":
			value = "`" + cell.Replace(v.Default) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.Name, cell.Replace(v.Type), value, cell.Replace(v.Help))
	}
	return b.String()
}

func version() string {
	b := service.ReadBuild()
	return fmt.Sprintf("opfeed %s, revision %s, %s\n", b.Version, b.Revision, b.GoVersion)
}
