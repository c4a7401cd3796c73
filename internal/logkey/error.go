package logkey

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"go.uber.org/zap"
)

// Error is the field of an error that may hold a server's answer; see Words.
func Error(err error) zap.Field { return zap.String("error", Words(err)) }

// Words is the text of an error in one line of at most 500 bytes. Of an answer of
// Cosmos DB it keeps status, substatus and activity id alone: azcore puts the
// whole body into the text, and an error page may echo what was sent to it,
// credentials included.
func Words(err error) string {
	const limit = 500
	text := err.Error()
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		text = strings.ReplaceAll(text, answer.Error(), answered(answer))
	}
	text, _, _ = strings.Cut(text, "\n") // of an answer that was missed, the body comes later
	return clip(text, limit)
}

func answered(e *azcore.ResponseError) string {
	words := fmt.Sprintf("answered %d", e.StatusCode)
	if e.RawResponse == nil {
		return words
	}
	for _, header := range []string{"x-ms-substatus", "x-ms-activity-id"} {
		if value := e.RawResponse.Header.Get(header); value != "" {
			words += ", " + strings.TrimPrefix(header, "x-ms-") + " " + clip(strings.ToValidUTF8(value, ""), 64)
		}
	}
	return words
}

func clip(text string, limit int) string {
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
