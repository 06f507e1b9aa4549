//go:build tools

// Package tools pins the ingress controller of the test cluster in go.mod.
package tools

import _ "github.com/traefik/traefik/v3/cmd/traefik"
