# Kafka for scripts/services, which sources this: fetches the jars, makes the programs, starts and stops the clusters.

# Each published version that is run, by the name of its program. 3.9 is the oldest that is looked after.
kafka_version() { case $1 in kafka39) echo 3.9.1 ;; *) echo 4.4.0 ;; esac; }
kafka_services='kafka kafka3 kafka-secure kafka39'
is_kafka() { [[ " $kafka_services " == *" $1 "* ]]; }

# Says how to do without what is missing.
missing() {
    fail "$1. On Debian: apt-get install openjdk-17-jre-headless maven. Or set JOBBERS_KAFKA_URL (JOBBERS_KAFKA3_URL, JOBBERS_KAFKA39_URL) to" \
        "kafka://HOST:PORT[,HOST:PORT] of brokers that may be filled; tests that kill brokers need JOBBERS_KAFKA_CLUSTER, a program" \
        "that does what scripts/kafka/cluster does"
}

java_program() {
    local found major
    found=$(command -v java) || missing "Java 17 or later is not on PATH"
    major=$("$found" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    [ "${major:-0}" -ge 17 ] || missing "$found is Java ${major:-of no version}, not 17 or later"
    echo "$found"
}

# The folder of the jars of a profile of scripts/kafka/pom.xml in a version.
kafka_jars() {
    local profile=$1 version=$2 to=$home/packages/kafka-$1-$2
    if [ ! -e "$to/done" ]; then
        note "fetching the jars of kafka $profile $version by mvn"
        rm -rf "$to"
        command -v mvn >/dev/null || missing "mvn is not on PATH"
        mvn -q -B -f scripts/kafka/pom.xml -P "$profile" "-Dkafka.version=$version" "-Dmaven.repo.local=$home/packages/maven-cache" \
            dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$to" >&2 || fail "mvn could not fetch kafka $version"
        touch "$to/done"
        rm -rf "$home/packages/maven-cache"
    fi
    echo "$to"
}

# Prints a program that is scripts/kafka/cluster with the jars of a version.
kafka_program() {
    local version jars java to
    version=$(kafka_version "$1")
    to=$home/bin/kafka-cluster-$version
    java=$(java_program) && jars=$(kafka_jars broker "$version") || exit 1
    mkdir -p "$home/bin"
    cat >"$to.new" <<END
#!/bin/sh
export JOBBERS_KAFKA_JAVA='$java' JOBBERS_KAFKA_LIBS='$jars' JOBBERS_KAFKA_TOOLS='$home/bin/kafka-tools'
exec '$PWD/scripts/kafka/cluster' "\$@"
END
    printf '#!/bin/sh\nJOBBERS_SERVICES_DIR=%q exec %q kafka-tools\n' "$home" "$PWD/scripts/services" >"$home/bin/kafka-tools.new"
    chmod +x "$to.new" "$home/bin/kafka-tools.new"
    mv "$home/bin/kafka-tools.new" "$home/bin/kafka-tools"
    mv "$to.new" "$to"
    echo "$to"
}

# Starts a service's cluster if it does not run, and prints what it exports.
kafka_start() {
    local service=$1 upper url program dir=$home/$1 nodes=1 words=()
    upper=$(tr a-z- A-Z_ <<<"$service")
    url=JOBBERS_${upper}_URL
    if [ -n "${!url:-}" ]; then
        note "$service is the one at ${!url}, which was given"
        return
    fi
    program=$(kafka_program "$service") || exit 1
    case $service in
        kafka3) nodes=3 ;;
        kafka-secure) words=(secure) ;;
    esac
    if [ "$("$program" "$dir" status | grep -c runs)" != "$nodes" ]; then
        "$program" "$dir" end
        "$program" "$dir" new "$nodes" "${words[@]}" >/dev/null || exit 1
        note "$service $(kafka_version "$service") runs at $("$program" "$dir" brokers)"
    fi
    if [ "$service" = kafka-secure ]; then
        echo "export $url='kafka://jobbers:jobbers-secret@$("$program" "$dir" brokers)?property.ssl.ca.location=$dir/ca.pem'"
        echo "export JOBBERS_KAFKA_SECURE_DOORS=$(cat "$dir/doors")"
    else
        echo "export $url=kafka://$("$program" "$dir" brokers)"
    fi
    [ "$service" = kafka39 ] || echo "export JOBBERS_KAFKA_CLUSTER=$program"
}

# The program that stops a cluster, whatever its version is: jars are not needed for that.
kafka_cluster() { JOBBERS_KAFKA_LIBS=none scripts/kafka/cluster "$@"; }

kafka_stop() { [ ! -e "$home/$1/nodes" ] || kafka_cluster "$home/$1" end; }

kafka_status() {
    [ -e "$home/$1/nodes" ] || return 0
    kafka_cluster "$home/$1" status | while read -r node pid state; do
        echo "$1 node $node $state as process $pid, at $(cut -d, -f"$node" "$home/$1/brokers")"
    done
}

# The most that a node may have, in MB of resident memory, at any time of its life. A test shows that it is looked at by asking for less.
kafka_memory_mb_max=${JOBBERS_KAFKA_MEMORY_MB_MAX:-200}

# Prints the memory of each node of a service that runs, and fails if one has had too much.
kafka_memory() {
    local node now most over=
    [ -e "$home/$1/nodes" ] || return 0
    while read -r node now most; do
        echo "$1 node $node has $now MB, and had $most MB at most; $kafka_memory_mb_max MB are allowed"
        [ "$most" -le "$kafka_memory_mb_max" ] || over+=" $node"
    done < <(kafka_cluster "$home/$1" memory)
    [ -z "$over" ] || { note "$1: too much memory, node$over"; return 1; }
}
