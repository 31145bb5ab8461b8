// Package java holds the one type that the docker-build provider takes from Pulumi's Java generator.
package java

// PackageInfo is written into the provider's schema; nothing here reads it.
type PackageInfo struct {
	BuildFiles                      string            `json:"buildFiles,omitempty"`
	GradleNexusPublishPluginVersion string            `json:"gradleNexusPublishPluginVersion,omitempty"`
	Dependencies                    map[string]string `json:"dependencies,omitempty"`
}
