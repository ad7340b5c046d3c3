"""Releases as signed images in containers: registry, scan, network, rollout, watch and quarantine, all with real parts.

Reading order: `site` (what a person sets up), `image` (the release as bytes), `registry` (signed, by digest only), `scan`,
`network` (what a container may reach), `engine` (podman), `rollout` (stages, and the way back proved first), `watch` (what
happens afterwards) and `quarantine`. The local target needs none of this and checks none of it.
"""
