// Package codegen holds the one type that the docker-build provider takes from Pulumi's C# generator.
package codegen

// CSharpPackageInfo is written into the provider's schema; nothing here reads it.
type CSharpPackageInfo struct {
	PackageReferences    map[string]string `json:"packageReferences,omitempty"`
	RespectSchemaVersion bool              `json:"respectSchemaVersion,omitempty"`
}
