"""What `cluster/deploy` holds for a Ray cluster: the image, the manifests, `ray up`."""
