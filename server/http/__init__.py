"""HTTP: one blueprint a resource, problem+json for every error, OpenAPI from the handlers."""
