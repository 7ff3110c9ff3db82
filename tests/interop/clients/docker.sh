#!/usr/bin/env bash
# docker: the daemon pushes and pulls, what was pulled runs; manifest lists; certs.d.
#
# Under the name docker29.sh it is the same with Docker 29, whose images live in containerd: other code pushes and pulls, and an
# image's id is its manifest's digest. docker.sh is the older daemon with its own image store, as Debian has it.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
if [ "$client" = docker29 ]; then
    PATH="$tools/containerd2:$PATH"
    # Debian's runc knows no time namespaces.
    options=(--feature time-namespaces=false)
else
    # The kernel may not let it lower its own score.
    options=(--storage-driver overlay2 --oom-score-adjust=0)
fi
need docker dockerd containerd runc
serve_plain "$quotas"
serve_tls

start_dockerd "${options[@]}"

# in_image IMAGE FILE: what the file in a container of that image holds.
in_image() { output docker run --rm --network none "$1" cat "$2"; }

# push IMAGE: prints the digest that the daemon reports.
push() { output docker push "$1" | tee -a "$log" | sed -nE 's/.*digest: (sha256:[0-9a-f]{64}).*/\1/p'; }

# trust HOST: the daemon takes its certificate.
trust() {
    mkdir -p "/etc/docker/certs.d/$1"
    cp "$ca" "/etc/docker/certs.d/$1/ca.crt"
}

id_of() { output docker image inspect -f '{{.Id}}' "$1"; }

# Two layers: an imported file system and one built on it.
rootfs "$work/rootfs"
tar -C "$work/rootfs" -cf "$work/rootfs.tar" .
run docker import -c 'ENTRYPOINT ["/bin/busybox"]' "$work/rootfs.tar" base
mkdir "$work/context"
echo second > "$work/context/second"
printf 'FROM base\nCOPY second /etc/second\nLABEL from=interop\n' > "$work/context/Dockerfile"
run docker build --network none -t "$plain/docker/app:v1" "$work/context"
id="$(id_of "$plain/docker/app:v1")"

pushed="$(push "$plain/docker/app:v1")"
equal "digest after a push" "$(manifest_digest docker/app v1)" "$pushed"
if [ "$client" = docker29 ]; then
    equal "image" "$pushed" "$id"
else
    equal "config" "$(manifest docker/app v1 | jq -r .config.digest)" "$id"
fi
ok "push of a built image"

# The same layers under another name need not be sent again.
run docker tag "$plain/docker/app:v1" "$plain/docker/mounted:v1"
contains "second push" "$(output docker push "$plain/docker/mounted:v1" | sed 's/^[0-9a-f]*: //' | sort -u)" "Mounted from docker/app"
contains "third push" "$(output docker push "$plain/docker/app:v1" | sed 's/^[0-9a-f]*: //' | sort -u)" "Layer already exists"
ok "layers mounted from another repository, and found again"

for prefix in full small untagged; do
    run docker tag "$plain/docker/app:v1" "$plain/$prefix/app:v1"
    refused_for_quota "$prefix/" docker push "$plain/$prefix/app:v1"
    run docker rmi "$plain/$prefix/app:v1"
done
ok "a push that exceeds a quota is told why"

forget_everything() {
    run docker image prune --all --force
    equal "images left" "$(docker image ls -aq | wc -l)" 0
}

forget_everything
run docker pull "$plain/docker/app:v1"
equal "image after a pull" "$(id_of "$plain/docker/app:v1")" "$id"
equal "first layer's file" "$(in_image "$plain/docker/app:v1" /etc/greeting)" "$(cat "$work/rootfs/etc/greeting")"
equal "second layer's file" "$(in_image "$plain/docker/app:v1" /etc/second)" second
ok "pull of what was pushed, and a container from it"

forget_everything
run docker pull "$plain/docker/app@$pushed"
equal "image pulled by digest" "$(id_of "$plain/docker/app@$pushed")" "$id"
refused docker pull "$plain/docker/app:never"
refused docker pull "$plain/docker/never:v1"
ok "pull by digest, and of what is not there"

# One image for each of two architectures under a list.
for architecture in amd64 arm64; do
    rootfs "$work/rootfs-$architecture" "hello from $architecture"
    printf 'FROM scratch\nCOPY . /\nENTRYPOINT ["/bin/busybox"]\n' > "$work/Dockerfile"
    run docker build --platform "linux/$architecture" -f "$work/Dockerfile" -t "$plain/docker/multi:$architecture" "$work/rootfs-$architecture"
    equal "architecture" "$(output docker image inspect -f '{{.Architecture}}' "$plain/docker/multi:$architecture")" "$architecture"
    push "$plain/docker/multi:$architecture" > "$work/$architecture.digest"
done
run docker manifest create --insecure "$plain/docker/multi:v1" "$plain/docker/multi:amd64" "$plain/docker/multi:arm64"
list="$(output docker manifest push --insecure "$plain/docker/multi:v1" | tee -a "$log" | tail -n 1)"
equal "digest of the list" "$(manifest_digest docker/multi v1)" "$list"
equal "children" "$(manifest docker/multi v1 | jq -r '.manifests[].digest' | sort)" "$(sort "$work"/*.digest)"
forget_everything
run docker pull "$plain/docker/multi:v1"
equal "image of this machine's architecture" "$(in_image "$plain/docker/multi:v1" /etc/greeting)" "hello from amd64"
forget_everything
run docker pull --platform linux/arm64 "$plain/docker/multi:v1"
container="$(output docker create --platform linux/arm64 "$plain/docker/multi:v1" true)"
run docker cp "$container:/etc/greeting" "$work/greeting"
equal "image of the architecture asked for" "$(cat "$work/greeting")" "hello from arm64"
run docker rm "$container"
ok "manifest list, pushed and pulled by platform"

run docker pull "$plain/docker/multi:amd64"
run docker tag "$plain/docker/multi:amd64" "$plain/docker/all:one"
run docker tag "$plain/docker/multi:amd64" "$plain/docker/all:two"
run docker push --all-tags "$plain/docker/all"
forget_everything
run docker pull --all-tags "$plain/docker/all"
equal "tags pulled" "$(output docker image ls --format '{{.Tag}}' "$plain/docker/all" | sort | tr '\n' ' ')" "one two "
ok "push and pull of all tags"

run docker tag "$plain/docker/all:one" "$tls/docker/app:v1"
refused docker login -u "$user" --password-stdin "$tls" <<< "$password"
trust "$tls"
refused docker push "$tls/docker/app:v1"
refused docker login -u "$user" --password-stdin "$tls" <<< wrong
run docker login -u "$user" --password-stdin "$tls" <<< "$password"
id="$(id_of "$tls/docker/app:v1")"
pushed="$(push "$tls/docker/app:v1")"
forget_everything
run docker pull "$tls/docker/app@$pushed"
equal "image pulled over TLS" "$(id_of "$tls/docker/app@$pushed")" "$id"
run docker pull "$tls/docker/app:v1"
equal "file pulled over TLS" "$(in_image "$tls/docker/app:v1" /etc/greeting)" "hello from amd64"
run docker logout "$tls"
refused docker pull "$tls/docker/app:v1"
ok "login, push and pull over TLS, the authority from certs.d"

serve_tokens tokens
trust "$tokened"
for name in docker/app docker/mounted public/app; do run docker tag "$tls/docker/app:v1" "$tokened/$name:v1"; done
refused docker push "$tokened/docker/app:v1"
refused docker login -u "$user" --password-stdin "$tokened" <<< wrong
run docker login -u "$user" --password-stdin "$tokened" <<< "$password"
equal "digest after a push" "$(push "$tokened/docker/app:v1")" "$pushed"
contains "second push" "$(output docker push "$tokened/docker/mounted:v1" | sed 's/^[0-9a-f]*: //' | sort -u)" "Mounted from docker/app"
has_asked "both repositories of a mount" '([.allowed[]?.name] | unique) == ["docker/app", "docker/mounted"]'
run docker push "$tokened/public/app:v1"
run docker logout "$tokened"
forget_everything
run docker pull "$tokened/public/app:v1"
refused docker pull "$tokened/docker/app:v1"
run docker login -u "$reader" --password-stdin "$tokened" <<< "$password"
run docker pull "$tokened/docker/app:v1"
equal "image pulled by a token" "$(id_of "$tokened/docker/app:v1")" "$id"
run docker tag "$tokened/docker/app:v1" "$tokened/docker/never:v1"
refused_for_scope docker push "$tokened/docker/never:v1"
ok "login, push, mount and pull by tokens, without a login what is public, and a reader is told why it cannot push"

# The older daemon goes by the clock alone, which takes a minute: expiry.sh.
if [ "$client" = docker29 ]; then
    pulled="$tokened/docker/app:v1"
    serve_short_tokens 800000
    trust "$tokened"
    run docker tag "$pulled" "$tokened/docker/app:v1"
    run docker login -u "$user" --password-stdin "$tokened" <<< "$password"
    equal "digest after a push" "$(push "$tokened/docker/app:v1")" "$pushed"
    renewed
    ok "push that outlives its token"
fi

run kill "$daemon"
wait "$daemon" 2>> "$log" || true
