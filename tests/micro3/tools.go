//go:build tools

// Package micro3 pins Micro 3's own command line and framework, which the tests run unmodified.
package micro3

import _ "github.com/micro/micro/v3"
