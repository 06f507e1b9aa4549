module aurora.io/hack/images/node/pause

go 1.25
