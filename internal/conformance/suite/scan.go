package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// needsEmulator begins the names of the functions with which a test of azcosmos
// says that it needs an emulator.
const needsEmulator = "newEmulatorTests"

// scan returns the names of the tests in a folder that need an emulator, in the
// order of files and lines.
func scan(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, fmt.Errorf("list tests in %s: %w", folder, err)
	}
	var tests []string
	for _, file := range files {
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
		for _, declaration := range syntax.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if ok && f.Body != nil && strings.HasPrefix(f.Name.Name, "Test") && callsEmulator(f.Body) {
				tests = append(tests, f.Name.Name)
			}
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("no test in %s calls %s", folder, needsEmulator)
	}
	return tests, nil
}

func callsEmulator(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name, ok := call.Fun.(*ast.Ident)
			found = found || ok && strings.HasPrefix(name.Name, needsEmulator)
		}
		return !found
	})
	return found
}
