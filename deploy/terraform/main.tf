# Namespace, service accounts, priority classes, network policies and KEDA's access to Redis are not here:
# `kubectl apply -k ../kustomize/base/shared`, and the TriggerAuthentication of ../kustomize/components/per-queue.

resource "kubernetes_manifest" "deployment" {
  for_each = local.deployments
  manifest = each.value

  # The scaler owns spec.replicas, which stands in no object here: each apply would fight it.
}

resource "kubernetes_manifest" "scaled_object" {
  for_each = local.scaled_objects
  manifest = each.value

  depends_on = [kubernetes_manifest.deployment] # KEDA adopts the number of pods
}
