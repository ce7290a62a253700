// Package azure has no code of its own: its tests put the official Azure SDK for Go, unmodified, before a whole
// Lockbox, and try there what Azure's API lacks. The SDK weighs 66 MB, which is why this is a module by itself; it is
// here because only services/lockbox runs all services.
package azure
