// Package azure has no code of its own: its test puts the official Azure SDK for Go, unmodified, before a whole Lockbox. The
// SDK weighs 66 MB, which is why this is a module by itself; it is here because only services/lockbox runs all services.
package azure
