package site

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

const assetPrefix = "/assets/"

//go:embed assets
var assetFiles embed.FS

//go:embed all:templates
var layoutFiles embed.FS

// problemFiles are the site's own pages, in problem/templates.
var problemFiles = func() fs.FS {
	sub, err := fs.Sub(ownFiles, "problem")
	if err != nil {
		panic(err) // the name is valid
	}
	return sub
}()

//go:embed all:problem
var ownFiles embed.FS

// assetHash is part of every asset's URL, so that browsers may cache assets indefinitely.
var assetHash = func() string {
	sum := sha256.New()
	// embedded files: reading cannot fail
	_ = fs.WalkDir(assetFiles, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := assetFiles.ReadFile(name)
		_, _ = sum.Write(data)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil))[:12]
}()

// integrity is what the page says of an asset, so that browsers take nothing else in its place (Subresource Integrity).
func integrity(name string) (string, error) {
	data, err := assetFiles.ReadFile("assets/" + name)
	sum := sha256.Sum256(data)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:]), err
}

// Own are the site's own files: assets, which browsers get as they are, at AssetPath, and the layout of all pages.
func Own() []fs.FS { return []fs.FS{assetFiles, layoutFiles} }

// AssetPath is where an asset is served.
func AssetPath(name string) string { return assetPath(name) }

// assetPath returns an asset's URL.
func assetPath(name string) string { return assetPrefix + assetHash + "/" + name }

// Assets serves the assets. An outdated URL gets 404 rather than a version that does not match the page.
func (s *Site) Assets(w http.ResponseWriter, r *http.Request) {
	name, found := strings.CutPrefix(r.URL.Path, assetPrefix+assetHash+"/")
	data, err := assetFiles.ReadFile("assets/" + name)
	if !found || err != nil {
		http.NotFound(w, r)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".woff2" {
		kind = "font/woff2" // which a machine may not know
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(data) // #nosec G705 -- an embedded file; the client may have disconnected
}
