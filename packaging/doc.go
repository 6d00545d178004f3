// Package packaging is what the Debian package is made of: units, users,
// directories, maintainer scripts and the list of its content, and the tests
// that install it.
//
//	build.sh ──► dist/stage-ARCH ──► nfpm.yaml ──► dist/sluice_VERSION_ARCH.deb
//	programs, documents,             units, users,          │
//	completions, notices             directories            ▼
//	                                        tests: install, boot, send, kill, remove
//
// It has no product code: what a unit needs, the programs do. The maintainer
// scripts start nothing and ask nothing.
package packaging
