// Package ext stands in for a nested module that Traefik's published source
// archive leaves out. Traefik embeds these two empty structs and nothing else.
package ext

// HTTP extends Traefik's HTTP configuration with nothing.
type HTTP struct{}

// Router extends Traefik's router configuration with nothing.
type Router struct{}
